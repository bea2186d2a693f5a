"""What `porchlight prompts` does: shows versions of prompts, stores new ones and moves labels, by the cache service."""

import argparse
from pathlib import Path
from typing import Final

import grpc
from porchlight.prompt.v1 import prompt_service_pb2 as pb
from porchlight.prompt.v1 import prompt_service_pb2_grpc as pb_grpc

from kit.prompt_file import BadPromptFile, parse
from kit.rpc.client import call, open_channel
from kit.tokens import read_token
from sandbox.cache_desk import SECONDS, table
from sandbox.keys import token_path

PAGE: Final = 200


async def run(
    given: argparse.Namespace, state_dir: Path, target: str, credentials: grpc.ChannelCredentials | None = None
) -> list[str]:
    """Run one of the commands and return what it prints, as lines.

    Raises:
        FileNotFoundError: There is no operator token in the state directory.
        PorchlightError: The cache service refused, or cannot be reached.
        ValueError: The file is no prompt file.
    """
    token = read_token(token_path(state_dir, "operator"))
    async with open_channel(target, token=token, service="cache", credentials=credentials) as channel:
        stub = pb_grpc.PromptServiceStub(channel)
        if given.what == "list":
            return table([("prompt", "newest", "labels"), *(_cells(each) for each in await _all(stub))])
        if given.what == "put":
            return await _put(stub, given)
        if given.what == "diff":
            asked = pb.DiffVersionsRequest(name=given.name, before=given.before, after=given.after)
            return (await call(stub.DiffVersions, asked, seconds=SECONDS)).diff.splitlines() or ["no difference"]
        if given.what == "show":
            return (await _get(stub, given.name, given.version)).version.text.splitlines()
        etag = (await _get(stub, given.name, getattr(given, "version", 0))).prompt.etag
        if given.what == "use":
            moved = pb.SetLabelRequest(
                name=given.name, label=given.label, version=given.version, etag=etag, reason=given.reason
            )
            return [_line((await call(stub.SetLabel, moved, seconds=SECONDS)).prompt)]
        back = pb.RollbackRequest(name=given.name, label=given.label, etag=etag, reason=given.reason)
        return [_line((await call(stub.Rollback, back, seconds=SECONDS)).prompt)]


async def _all(stub: pb_grpc.PromptServiceStub) -> list[pb.Prompt]:
    found: list[pb.Prompt] = []
    asked = pb.ListPromptsRequest(page_size=PAGE)
    while True:
        listed = await call(stub.ListPrompts, asked, seconds=SECONDS)
        found += listed.prompts
        if not listed.next_page_token:
            return found
        asked.page_token = listed.next_page_token


async def _get(stub: pb_grpc.PromptServiceStub, name: str, version: int = 0) -> pb.GetPromptResponse:
    """Return a version, by default the one in production."""
    asked = pb.GetPromptRequest(name=name, version=version) if version else pb.GetPromptRequest(name=name)
    return await call(stub.GetPrompt, asked, seconds=SECONDS)


async def _put(stub: pb_grpc.PromptServiceStub, given: argparse.Namespace) -> list[str]:
    text = given.file.read_text(encoding="utf-8")
    try:
        name = parse(text).name
    except BadPromptFile as bad:
        raise ValueError(f"{given.file}: {bad}") from bad
    etag = next((each.etag for each in await _all(stub) if each.name == name), "")
    asked = pb.CreateVersionRequest(text=text, etag=etag, reason=given.reason, validate_only=given.check)
    stored = await call(stub.CreateVersion, asked, seconds=SECONDS)
    if given.check:
        return [f"{name} could be stored"]
    use = f"porchlight prompts use {name} {stored.version} --reason ..."
    return [f"{name}@{stored.version} is stored; `{use}` puts it to use"]


def _cells(prompt: pb.Prompt) -> tuple[str, str, str]:
    return prompt.name, str(prompt.latest_version), _labels(prompt)


def _line(prompt: pb.Prompt) -> str:
    return f"{prompt.name}: {_labels(prompt)}"


def _labels(prompt: pb.Prompt) -> str:
    return ", ".join(f"{label} {version}" for label, version in sorted(prompt.labels.items()))
