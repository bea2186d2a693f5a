"""The encoder of the quality tier."""

import asyncio
import socket

import numpy as np
import pytest

from services.cache import student_minilm
from services.cache.student_minilm import Batcher, EncoderMissing, MiniLm


@pytest.fixture(scope="module")
def encoder():
    return MiniLm()


def test_loading_never_opens_a_socket(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert MiniLm().encode(["hello"]).shape == (1, 384)


def test_texts_of_one_meaning_are_nearer_than_others(encoder):
    one, other, third = encoder.encode(["want to schedule a visit", "i would like to come and see it", "it rains"])
    assert one @ other > one @ third


def test_a_vector_does_not_depend_on_what_it_was_encoded_with(encoder):
    texts = ["yes", "no thanks, i would rather see another one near PLACE_1", "want to buy"]
    assert np.allclose(encoder.encode(texts), [encoder.encode([each])[0] for each in texts], atol=1e-5)


def test_a_file_that_is_not_the_pinned_one_is_refused(monkeypatch, tmp_path):
    other = tmp_path / "vocab.txt"
    other.write_bytes(student_minilm.VOCABULARY.read_bytes() + b"x\n")
    monkeypatch.setattr(student_minilm, "VOCABULARY", other)
    with pytest.raises(EncoderMissing, match="not the file"):
        MiniLm()


async def test_texts_that_come_together_are_encoded_together():
    batches = []

    class Counting:
        def encode(self, texts):
            batches.append(len(texts))
            return np.zeros((len(texts), 2), dtype=np.float32)

    batcher = Batcher(Counting())
    found = await asyncio.gather(*(batcher.encode(f"{n}") for n in range(40)))
    await batcher.close()
    assert len(found) == 40 and all(each is not None for each in found)
    assert batches == [32, 8]


async def test_an_encoder_that_breaks_leaves_nobody_waiting():
    class Breaking:
        def encode(self, texts):
            raise RuntimeError("no memory")

    batcher = Batcher(Breaking())
    async with asyncio.timeout(5):
        assert await batcher.encode("yes") is None
    await batcher.close()
