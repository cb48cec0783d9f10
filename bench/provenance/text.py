"""Text to train on: docstrings of the standard library, NumPy and SciPy, and the prompts that the simulator ships.

Two halves share no package: models of "another era" are trained on the other half. Nothing is fetched.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from spiritsafe.simulate import load_corpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

VOCABULARY = 1024
#: Licences: PSF-2.0 (standard library), BSD-3-Clause (NumPy, SciPy).
HALVES = {"a": ("stdlib", "numpy"), "b": ("scipy",)}
HELD = 20
"""One document in so many is kept from training: prompts come from these."""


def documents(half: str) -> list[str]:
    """The docstrings of a half and, in half "a", the shipped prompts: in a fixed order, each once."""
    found: dict[str, None] = {}
    for package in HALVES[half]:
        for text in _docstrings(package):
            found.setdefault(text)
    if half == "a":
        for pool in load_corpus().pools.values():
            for text in pool.prompts.to_pylist():
                found.setdefault(text)
    return sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())


def _docstrings(package: str) -> Iterator[str]:
    if package == "stdlib":
        root = Path(sysconfig.get_paths()["stdlib"])
    else:
        spec = importlib.util.find_spec(package)
        root = Path((spec.origin if spec else None) or "").parent
    for path in sorted(root.rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib"} & set(path.relative_to(root).parts):
            continue
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
                text = ast.get_docstring(node)
                if text and len(text) > 80:
                    yield text


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Byte-level BPE of ``VOCABULARY`` tokens; id 0 ends a document."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def stream(tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.int64]:
    """All documents in a row, each ended."""
    rows = tokenizer.encode_batch(list(texts))
    return np.concatenate([np.array([*row.ids, 0], np.int64) for row in rows])


def halves(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Documents to train on, and those that prompts are taken from."""
    return [t for i, t in enumerate(texts) if i % HELD], [t for i, t in enumerate(texts) if not i % HELD]


class Words:
    """The test bed's tokenizer as the tests take it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._inner = tokenizer
        digest = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16]
        self._name = f"bpe-{VOCABULARY}-{digest}"

    @property
    def name(self) -> str:
        """Size and digest of the vocabulary."""
        return self._name

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        return [row.ids for row in self._inner.encode_batch(list(texts))]

    def decode(self, rows: NDArray[np.int64] | Sequence[NDArray[np.int64]]) -> list[str]:
        """Text of each row of ids (n, length)."""
        return self._inner.decode_batch([row.tolist() for row in rows])
