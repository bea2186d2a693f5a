"""Learns in a process of its own: examples come in on stdin, what was learned goes out on stdout.

Learning takes seconds of a processor, and the process that answers has none to spare.
Nothing is written to disk.
"""

import asyncio
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson

from services.cache.canonical import State
from services.cache.student_model import Example, Learned, learn

LONGEST_SECONDS: Final = 600.0
NICE: Final = 10

_ARRAYS: Final = ("idf", "weights", "bias")


class TrainingFailed(Exception):
    """The process that learns gave nothing back."""


async def train(examples: Sequence[Example], *, target: float, quality: bool) -> Learned | None:
    """Learn in a process of its own; see `learn`.

    Raises:
        TrainingFailed: It did not start, ended without an answer, or took longer than `LONGEST_SECONDS`.
    """
    given = await asyncio.to_thread(_lines, examples, target=target, quality=quality)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise TrainingFailed("did not start") from error
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            answer, _ = await process.communicate(given)
    except TimeoutError:
        raise TrainingFailed("took too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise TrainingFailed(f"ended with code {process.returncode}")
    return await asyncio.to_thread(unpack, answer) if answer else None


def _lines(examples: Sequence[Example], *, target: float, quality: bool) -> bytes:
    # One by one: who answers people meanwhile gets the interpreter between two examples, and not within one call.
    return b"\n".join(orjson.dumps(each) for each in ({"target": target, "quality": quality}, *examples))


def pack(learned: Learned) -> bytes:
    """Return the bytes of what was learned: arrays and JSON, nothing that runs."""
    told = {
        "labels": learned.labels,
        "threshold": learned.threshold,
        "loose": learned.loose,
        "strange": learned.strange,
        "examples": learned.examples,
        "columns": sorted(learned.columns, key=lambda name: learned.columns[name]),
        "states": sorted(learned.states),
        "unsaid": sorted(learned.unsaid),
    }
    made = io.BytesIO()
    arrays = {name: getattr(learned, name) for name in _ARRAYS}
    np.savez(made, told=np.frombuffer(json.dumps(told).encode(), dtype=np.uint8), **arrays)
    return made.getvalue()


def unpack(data: bytes) -> Learned:
    """Read what `pack` made."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        told = json.loads(arrays["told"].tobytes())
        return Learned(
            labels=tuple(told["labels"]),
            threshold=told["threshold"],
            loose=told["loose"],
            strange=told["strange"],
            examples=told["examples"],
            columns={name: number for number, name in enumerate(told["columns"])},
            states=frozenset(told["states"]),
            unsaid=frozenset(told["unsaid"]),
            **{name: arrays[name] for name in _ARRAYS},
        )


def main() -> None:
    """Read examples, learn, write."""
    os.nice(NICE)
    told, *lines = sys.stdin.buffer.read().split(b"\n")
    given = orjson.loads(told)
    encode = None
    if given["quality"]:
        from services.cache.student_minilm import MiniLm

        encode = MiniLm().encode
    examples = [Example(**{**each, "state": State(**each["state"])}) for each in map(orjson.loads, lines)]
    learned = learn(examples, target=given["target"], encode=encode)
    if learned is not None:
        sys.stdout.buffer.write(pack(learned))


if __name__ == "__main__":
    main()
