"""What a prompt must be like to take the place of the one that came with the release. Pure.

The code that asks fills the shipped prompt's placeholders and reads its answer's
shape, so these may not change; what the model is told may. A scope may only become
narrower: a wider one would give one person's words to another.
"""

from collections.abc import Mapping
from typing import Any, Final

from kit.prompt_file import PromptFile
from services.cache.pricing import PRICES

LONGEST_TEXT: Final = 60_000
_TOLD: Final = frozenset({"title", "description"})


class UnfitPrompt(ValueError):
    """A prompt cannot be asked, or not in the place of the shipped one; the message says why."""


def check_fit(prompt: PromptFile, shipped: PromptFile | None) -> None:
    """Make sure that a prompt can be asked in the place of the shipped one.

    Args:
        prompt: What shall be asked.
        shipped: What the code that asks was made for; None when nothing of that name came with the release.

    Raises:
        UnfitPrompt: It cannot.
    """
    if prompt.model not in PRICES:
        raise UnfitPrompt(f"model {prompt.model} has no price here; known are {', '.join(sorted(PRICES))}")
    if shipped is None:
        return
    if prompt.variables != shipped.variables:
        raise UnfitPrompt(f"the placeholders are not {', '.join(sorted(shipped.variables)) or 'none'}")
    if (prompt.scope, shipped.scope) == ("tenant", "contact"):
        raise UnfitPrompt("scope is tenant where a person's words are filled in")
    if _shape(prompt.schema) != _shape(shipped.schema):
        raise UnfitPrompt("the schema asks for another answer than the shipped one; only descriptions may differ")


def _shape(schema: Mapping[str, Any] | None) -> Any:
    """Return a schema without what is only told to the model."""
    if schema is None:
        return None
    shape: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            shape[key] = {name: _shape(part) for name, part in value.items()}
        elif key == "items":
            shape[key] = _shape(value)
        elif key == "anyOf":
            shape[key] = [_shape(part) for part in value]
        elif key == "required":
            shape[key] = sorted(value)
        elif key not in _TOLD:
            shape[key] = value
    return shape
