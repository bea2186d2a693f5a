"""`porchlight load`: sales from files into the database, with what was left out and why."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from migrations.sales_csv import Skipped, read_map
from migrations.sales_pg import Loaded, load_sales
from sandbox import sample

Say = Callable[[str], object]
_BAR_CELLS = 30
_STEP_LINES = 2_000
_LONGEST_SOURCE, _LONGEST_TITLE = 64, 120


async def load_file(url: str, file: Path, *, source: str, title: str, mapping: str, say: Say) -> Loaded:
    """Load a CSV and say what came of it.

    Raises:
        ValueError: Name, title or map are not acceptable, or no row is a sale.
        OSError: The file cannot be read, or the database does not answer.
    """
    if not (source.isidentifier() and len(source) <= _LONGEST_SOURCE):
        raise ValueError(f"--source must be letters, digits and _, at most {_LONGEST_SOURCE}")
    if not (title.isprintable() and len(title) <= _LONGEST_TITLE):
        raise ValueError(f"--title must be at most {_LONGEST_TITLE} printable characters")
    columns, skipped = read_map(mapping), Skipped()
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            whole = sum(1 for _ in lines)
            lines.seek(0)
            shown = _counted(lines, whole)
            loaded = await load_sales(url, shown, source=source, title=title, columns=columns, skipped=skipped)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no UTF-8 text") from error
    finally:
        for line in skipped.report():
            say(line + "\n")
    _report(loaded, source, skipped, say)
    return loaded


async def load_sample(url: str, *, say: Say | None = None) -> Loaded:
    """Load the sales that come with the project. Safe to repeat."""
    skipped = Skipped()
    loaded = await load_sales(
        url,
        sample.lines(),
        source=sample.SOURCE,
        title=sample.TITLE,
        columns=read_map(sample.COLUMN_MAP),
        skipped=skipped,
        sample=True,
    )
    if say:
        for line in skipped.report():
            say(line + "\n")
        _report(loaded, sample.SOURCE, skipped, say)
    return loaded


def _report(loaded: Loaded, source: str, skipped: Skipped, say: Say) -> None:
    say(
        f"{loaded.rows} sales loaded, {sum(skipped.reasons.values())} rows skipped;"
        f" {source} holds {loaded.sales_count}, as of {loaded.valuation_date}\n"
    )


def _counted(lines: Iterable[str], whole: int) -> Iterator[str]:
    """Pass lines on and show how far they are."""
    for number, line in enumerate(lines, 1):
        yield line
        if number % _STEP_LINES == 0 or number == whole:
            show_progress(number, whole)


def show_progress(done: int, whole: int) -> None:
    """Draw a bar where somebody watches."""
    if sys.stderr.isatty():
        filled = _BAR_CELLS * done // max(1, whole)
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (_BAR_CELLS - filled)}] {done:,} of {whole:,} lines")
        sys.stderr.write("\n" if done >= whole else "")
        sys.stderr.flush()
