"""Features: text to skeleton, hashes, anchors, projection, MinHash and intent markers. The one hot kernel.

All numbers are equal on every machine and for every number of threads; a change of any of them raises
``FINGERPRINT_VERSION``. The compiled code is loaded at the first call, not on import.
"""

from __future__ import annotations

from typing import Any

FINGERPRINT_VERSION = 1
"""Part of every stored fingerprint's meaning: fingerprints of different versions do not compare."""


def sketch(batch: Any, *, threads: int = 1) -> Any:
    """Replace the text columns of a canonical RecordBatch by fingerprints; see ``docs/features.md``."""
    from spiritsafe.features import _sketch  # noqa: PLC0415

    return _sketch.sketch(batch, threads=threads)


def packed(made: Any) -> Any:
    """One string for each row of a sketch: values of the canonical column ``sketch``, which stands in place of text."""
    from spiritsafe.features import _packed  # noqa: PLC0415

    return _packed.pack(made)


def minhash(texts: Any, *, threads: int = 1) -> Any:
    """MinHash signatures, uint32 (rows, 128), of the masked 3-token shingles of an Arrow text array."""
    from spiritsafe.features import _text, kernel  # noqa: PLC0415

    only = {"marks": False, "anchors": False, "prints": False, "minhash": True}
    return kernel.fingerprints(_text.text(texts), threads=threads, **only).signatures


def bands(signatures: Any) -> Any:
    """The 32 band keys of four lanes, uint64 (rows, 32); 0 where there is no text. Rows with an equal key are alike.

    32 x 4 finds a pair of Jaccard similarity J with probability 1 - (1 - J^4)^32.
    """
    from spiritsafe.features import kernel  # noqa: PLC0415

    return kernel.bands(signatures)


def jaccard(a: Any, b: Any) -> Any:
    """Estimated Jaccard similarity of signatures, row by row; standard error sqrt(J (1 - J) / 128)."""
    return (a == b).mean(axis=-1)


def skeleton_text(text: str) -> str:
    """The masked form of a prompt for people: what the kernel takes away is shown as ⟨number⟩, ⟨url⟩, ⟨quoted⟩, …."""
    from spiritsafe.features import _show  # noqa: PLC0415

    return _show.skeleton_text(text)
