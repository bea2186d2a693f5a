"""What the Claude stand-in can be told from outside."""

from pydantic import Field

from kit.settings import Settings


class ClaudeSettings(Settings):
    """Settings of `python -m sandbox.claude`; faults can be changed later through POST /control."""

    listen: str = Field(default="127.0.0.1:8091", description="Address of the HTTP server.")
    claude_listen: str = Field(default="", description="The same; wins over `listen` when both are set.")
    claude_latency_ms: float = Field(default=0.0, ge=0, le=600_000, description="Median wait before an answer.")
    claude_latency_sigma: float = Field(
        default=0.0, ge=0, le=3, description="Lognormal spread around the median; 0 for none."
    )
    claude_token_ms: float = Field(
        default=0.0, ge=0, le=1_000, description="Further wait for each token that is written."
    )
    claude_limits: str = Field(
        default="",
        description="What models take in any minute, as model=requests/input tokens/output tokens, comma list;"
        " * for any other model, 0 for no limit.",
    )
    claude_faults: str = Field(
        default="", description="Faults from the start, as kind:probability[:value] or kind*count[:value], comma list."
    )
    claude_seed: int = Field(default=1, description="Seed of latencies and faults.")
