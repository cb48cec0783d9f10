"""How the kernel's functions are compiled: by numba, without the GIL, kept on disk where that is possible.

Nothing is compiled on import, only at the first call. Where no cache folder can be written (read-only packages and
no home), the function is compiled anew in each process instead of failing. NUMBA_CACHE_DIR names another folder.

A function is compiled anew when its own file changes. Change a function that another file calls (``_scan.mix``) only
with a touch to that file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: Callable[..., Any]) -> Any:
    """Compile ``function`` at its first call; wrapping integers, no fast-math, so that all machines agree."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "no locator available"
        return njit(nogil=True)(function)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a small function that other compiled functions of the same file call."""
    return njit(nogil=True)(function)
