"""The teacher's tokenizer, from the file that was registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.errors import UsageError
from spiritsafe.provenance import _seal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class FileTokenizer:
    """The teacher's tokenizer, from a ``tokenizer.json``. Raises UsageError without the extra."""

    def __init__(self, path: Path) -> None:
        try:
            import tokenizers  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise UsageError(
                "the teacher's tokenizer needs tokenizers", hint="pip install 'spiritsafe[provenance]'"
            ) from error
        self._inner: Any = tokenizers.Tokenizer.from_file(str(path))
        self._name = f"tokenizer.json sha256:{_seal.file_digest(path)}"

    @property
    def name(self) -> str:
        """With the digest of the whole file."""
        return self._name

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return [one.ids for one in self._inner.encode_batch(list(texts), add_special_tokens=False)]
