"""Serves PromptService."""

from collections.abc import Sequence
from typing import Any, Final

from porchlight.prompt.v1 import prompt_service_pb2 as pb
from porchlight.prompt.v1 import prompt_service_pb2_grpc as pb_grpc

from kit import checks, paging
from kit.errors import InvalidField
from kit.rpc import context
from kit.stamps import stamp
from services.cache.prompt_archive import PromptArchive, PromptState, Version
from services.cache.prompt_desk import NEWEST, PromptDesk, text_of
from services.cache.prompt_rules import LONGEST_TEXT
from services.cache.prompts import PRODUCTION, SHIPPED

SERVICE: Final = "porchlight.prompt.v1.PromptService"


class PromptService(pb_grpc.PromptServiceServicer):
    """Shows and changes prompts."""

    def __init__(self, archive: PromptArchive, desk: PromptDesk) -> None:
        self._archive = archive
        self._desk = desk

    async def ListPrompts(self, request: pb.ListPromptsRequest, _context: Any) -> pb.ListPromptsResponse:
        """See `protos/porchlight/prompt/v1/prompt_service.proto`."""
        size = checks.page_size(request.page_size, default=50, most=200)
        (after,) = paging.decode(request.page_token, parts=1) if request.page_token else ("",)
        found = await self._archive.states(after=after, most=size + 1)
        return pb.ListPromptsResponse(
            prompts=[_prompt(each) for each in found[:size]],
            next_page_token=paging.encode(found[size - 1].name) if len(found) > size else "",
        )

    async def GetPrompt(self, request: pb.GetPromptRequest, _context: Any) -> pb.GetPromptResponse:
        """See `protos/porchlight/prompt/v1/prompt_service.proto`."""
        name = checks.identifier("name", request.name)
        if request.WhichOneof("which") == "version":
            version = await self._desk.version(name, _number("version", request.version))
            state = await self._desk.state(name)
        else:
            state = await self._desk.state(name)
            label = checks.identifier("label", request.label or PRODUCTION, longest=32)
            version = await self._desk.labelled(state, label)
        return pb.GetPromptResponse(
            prompt=_prompt(state),
            version=_version(version),
            changes=[
                pb.LabelChange(
                    label=each.label,
                    version_before=each.version_before,
                    version_after=each.version_after,
                    change_time=stamp(each.change_time),
                    author=each.author,
                    reason=each.reason,
                )
                for each in state.changes
            ],
        )

    async def ListVersions(self, request: pb.ListVersionsRequest, _context: Any) -> pb.ListVersionsResponse:
        """See `protos/porchlight/prompt/v1/prompt_service.proto`."""
        name = checks.identifier("name", request.name)
        size = checks.page_size(request.page_size, default=10, most=50)
        below = _below(request.page_token)
        await self._desk.state(name)
        found = await self._archive.versions(name, below=below, most=size + 1)
        return pb.ListVersionsResponse(
            versions=[_version(each) for each in found[:size]], next_page_token=_page_after(found, size)
        )

    async def DiffVersions(self, request: pb.DiffVersionsRequest, _context: Any) -> pb.DiffVersionsResponse:
        """See `protos/porchlight/prompt/v1/prompt_service.proto`."""
        name = checks.identifier("name", request.name)
        before, after = _number("before", request.before), _number("after", request.after)
        return pb.DiffVersionsResponse(diff=await self._desk.diff(name, before, after))

    async def CreateVersion(self, request: pb.CreateVersionRequest, _context: Any) -> pb.CreateVersionResponse:
        """See `protos/porchlight/prompt/v1/prompt_service.proto`."""
        version, state = await self._desk.create(
            checks.text("text", request.text, longest=LONGEST_TEXT, shortest=1),
            etag=checks.identifier("etag", request.etag, shortest=0),
            author=context.caller(),
            reason=_reason(request.reason),
            validate_only=request.validate_only,
        )
        return pb.CreateVersionResponse(version=version, prompt=None if state is None else _prompt(state))

    async def SetLabel(self, request: pb.SetLabelRequest, _context: Any) -> pb.SetLabelResponse:
        """See `protos/porchlight/prompt/v1/prompt_service.proto`."""
        state = await self._desk.set_label(
            checks.identifier("name", request.name),
            _label(request.label),
            _number("version", request.version),
            etag=checks.identifier("etag", request.etag),
            author=context.caller(),
            reason=_reason(request.reason),
        )
        return pb.SetLabelResponse(prompt=_prompt(state))

    async def Rollback(self, request: pb.RollbackRequest, _context: Any) -> pb.RollbackResponse:
        """See `protos/porchlight/prompt/v1/prompt_service.proto`."""
        state = await self._desk.roll_back(
            checks.identifier("name", request.name),
            _label(request.label),
            etag=checks.identifier("etag", request.etag),
            author=context.caller(),
            reason=_reason(request.reason),
        )
        return pb.RollbackResponse(prompt=_prompt(state))


def _label(value: str) -> str:
    label = checks.identifier("label", value or PRODUCTION, longest=32)
    if label == SHIPPED:
        limit = "any but shipped, which releases move"
        raise InvalidField(f"label must be {limit}", field="label", limit=limit)
    return label


def _number(field: str, value: int) -> int:
    return checks.integer(field, value, low=1, high=NEWEST - 1)


def _reason(value: str) -> str:
    return checks.text("reason", value, longest=500, shortest=1)


def _below(token: str) -> int:
    if not token:
        return NEWEST
    return paging.number(*paging.decode(token, parts=1))


def _page_after(found: Sequence[Version], size: int) -> str:
    return paging.encode(str(found[size - 1].version)) if len(found) > size else ""


def _prompt(state: PromptState) -> pb.Prompt:
    return pb.Prompt(name=state.name, labels=state.labels, latest_version=state.latest_version, etag=state.etag)


def _version(version: Version) -> pb.PromptVersion:
    return pb.PromptVersion(
        name=version.name,
        version=version.version,
        text=text_of(version),
        digest=version.digest,
        create_time=stamp(version.create_time),
        author=version.author,
        reason=version.reason,
    )
