"""The kernel compiles where nothing can be written, and importing the package compiles and loads nothing."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa

from spiritsafe.features import _mask, _match, _print, _scan, kernel, skeleton_text
from spiritsafe.features._compile import compiled
from spiritsafe.features._text import text


def test_without_a_cache_folder_it_is_compiled_in_memory():
    """Code that is not in a file has nowhere to be cached, as code in a read-only package of a homeless user."""
    scope: dict[str, object] = {}
    exec("def twice(x):\n    return x + x\n", scope)  # noqa: S102
    twice = compiled(scope["twice"])  # type: ignore[arg-type]
    assert twice(21) == 42
    assert twice.stats.cache_path is None


def test_import_loads_no_compiler():
    code = "import sys, spiritsafe.features; sys.exit(any(m in sys.modules for m in ('numba', 'pyarrow', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_pass_is_compiled_once():
    """Every kind of column, and none, leads to the same machine code: compiling is what costs at first use."""
    for column in (
        pa.array(["a", None]),
        pa.array([], pa.string()),
        pa.nulls(2),
        pa.array([""], pa.large_string()),
    ):
        sketch_of = kernel.fingerprints(text(column), minhash=True)
        assert sketch_of.exact.size == len(column)
    skeleton_text("one 2")
    passes = (
        _scan.scan,
        _match.match,
        _mask.mask,
        _print.anchors,
        _print.project,
        _print.minhash,
        _print.bands,
    )
    assert [len(one.signatures) for one in passes] == [1] * len(passes)
