"""Brings the prompts of the services' folders into the database."""

from pathlib import Path

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from kit.prompt_file import BadPromptFile, PromptFile, parse

_STORE = text("select porchlight.store_prompt(:name, :digest, cast(:body as jsonb), 'production')")


def read_prompt_files(root: Path) -> list[PromptFile]:
    """Read `services/*/prompts/*.md` under `root`, sorted by name.

    Raises:
        BadPromptFile: A file is not of the form, or two have the same name.
    """
    found: dict[str, PromptFile] = {}
    for path in sorted(root.glob("services/*/prompts/*.md")):
        try:
            prompt = parse(path.read_text(encoding="utf-8"))
        except ValueError as error:  # of a bad form, or no UTF-8
            raise BadPromptFile(f"{path.relative_to(root)}: {error}") from error
        if prompt.name in found:
            raise BadPromptFile(f"{path.relative_to(root)}: {prompt.name} is the name of another file too")
        found[prompt.name] = prompt
    return [found[name] for name in sorted(found)]


async def load_prompts(admin_url: str, root: Path) -> dict[str, int]:
    """Store what the files say as versions, and label it `production`. Safe to repeat.

    A content that was stored before keeps its version, so going back to an older
    text goes back to the older version and its cached answers.

    Args:
        admin_url: `postgresql://` URL of the role that owns the schema.
        root: The folder that holds `services/`.

    Returns:
        The version of each prompt by its name.

    Raises:
        BadPromptFile: A file is not of the form; nothing is stored then.
        sqlalchemy.exc.SQLAlchemyError: The database refused; nothing is stored.
    """
    prompts = read_prompt_files(root)
    engine = create_async_engine(admin_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    versions: dict[str, int] = {}
    try:
        async with engine.begin() as connection:
            for prompt in prompts:
                body = orjson.dumps(prompt.body).decode()
                values = {"name": prompt.name, "digest": prompt.digest, "body": body}
                versions[prompt.name] = (await connection.execute(_STORE, values)).scalar_one()
    finally:
        await engine.dispose()
    return versions
