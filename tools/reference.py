"""Writes docs/reference from the code: settings, log events, error reasons.

python tools/reference.py           write the pages
python tools/reference.py --check   say which pages differ from the code, and exit 1
"""

import importlib
import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from kit import events
from kit.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
NOTE = "Generated from the code by `tools/reference.py`; `make check` compares.\n"


def settings_page() -> str:
    """Table of every environment variable, by process; what all have comes first."""
    lines = [
        "# Settings",
        "",
        NOTE,
        "Environment variables, read once at start. An unknown `PORCHLIGHT_` name is refused.",
        "",
    ]
    shared = set(Settings.model_fields)
    kinds: list[tuple[str, type[Settings]]] = [("Every process", Settings), *_services()]
    for title, kind in kinds:
        fields = {
            n: f
            for n, f in kind.model_fields.items()
            if kind is Settings or n not in shared or _default(f) != _default(Settings.model_fields[n])
        }
        if not fields:
            continue
        lines += [f"## {title}", "", "| variable | default | what |", "|---|---|---|"]
        lines += [
            f"| `{PREFIX}{n.upper()}` | {_default(f)} | {f.description or ''} |" for n, f in sorted(fields.items())
        ]
        lines.append("")
    return "\n".join(lines)


def _services() -> list[tuple[str, type[Settings]]]:
    found = []
    for path in sorted((ROOT / "services").glob("*/settings.py")):
        module = importlib.import_module(f"services.{path.parent.name}.settings")
        kinds = [
            k
            for k in vars(module).values()
            if isinstance(k, type) and issubclass(k, Settings) and k.__module__ == module.__name__
        ]
        found += [(path.parent.name, kind) for kind in kinds]
    return found


def _default(field: object) -> str:
    value = getattr(field, "default", PydanticUndefined)
    if value is PydanticUndefined:
        return "required"
    if value is None or value == "" or (isinstance(value, SecretStr) and not value.get_secret_value()):
        return "none"
    return f"`{value}`".replace("|", "\\|")


def events_page() -> str:
    """Tables of every log event and every key."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in events.EVENTS.items()]
    keys = [f"| `{name}` | {meaning} |" for name, meaning in events.KEYS.items()]
    return "\n".join(
        [
            "# Log events",
            "",
            NOTE,
            "| event | when |",
            "|---|---|",
            *rows,
            "",
            "## Keys",
            "",
            "A key that is not here is dropped from the line.",
            "",
            "| key | meaning |",
            "|---|---|",
            *keys,
            "",
        ]
    )


def errors_page() -> str:
    """Every reason with the contract's own words about it."""
    source = (ROOT / "protos/porchlight/errors/v1/error_reason.proto").read_text(encoding="utf-8")
    lines, comment = ["# Errors", "", NOTE], []
    for raw in source.split("enum ErrorReason", 1)[1].splitlines():
        line = raw.strip()
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
        elif line.startswith("ERROR_REASON_"):
            name = line.split(" ")[0].removeprefix("ERROR_REASON_")
            if name != "UNSPECIFIED":
                lines += [
                    f"## {name}",
                    "",
                    *(f"{part}  " if part.startswith(("Code:", "Retry:")) else part for part in comment),
                    "",
                ]
            comment = []
    return "\n".join(lines)


def main() -> int:
    """Write or compare the pages."""
    pages = {"settings.md": settings_page(), "events.md": events_page(), "errors.md": errors_page()}
    if "--check" not in sys.argv:
        PAGES.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (PAGES / name).write_text(text, encoding="utf-8")
        return 0
    stale = [
        name
        for name, text in pages.items()
        if not (PAGES / name).exists() or (PAGES / name).read_text(encoding="utf-8") != text
    ]
    for name in stale:
        print(f"docs/reference/{name} differs from the code: run `make docs`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
