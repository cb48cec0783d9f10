"""The kernel compiles where nothing can be written, and importing the package compiles and loads nothing."""

from __future__ import annotations

import subprocess
import sys

from spiritsafe.features._compile import compiled


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
