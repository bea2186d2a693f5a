"""What a bot can be told from outside."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from kit.settings import Settings


class BotSettings(Settings):
    """The settings of every process, and the bots' own."""

    use_model: bool = Field(True, description="Whether bots ask the model; without it their rules answer alone.")
    wording: Literal["model", "written"] = Field(
        "model",
        description="Who words replies: the model, as checked templates without values, or the written phrases alone.",
    )
    brokerage_name: str = Field(
        "Porchlight Realty (sample)", min_length=1, max_length=60, description="Who the bots say they write for."
    )
    ticket_public_keys_file: Path | None = Field(
        None, description="JSON of the arbiter's public keys: key id to base64. Without it a bot refuses every offer."
    )
