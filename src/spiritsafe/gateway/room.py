"""Disk space taken ahead of need, so that a full disk shows before a request is taken and not after."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from typing import Any

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE, linux/falloc.h: the file's size stays what has been written
_UNKNOWN = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def reserve(handle: int, start: int, size: int) -> bool:
    """Take ``size`` bytes from ``start`` for an open file; the file's own size stays.

    False where the system or the file system cannot; then only the free space was looked at. Raises OSError (ENOSPC,
    EDQUOT, …) when there is no room.
    """
    call = _fallocate()
    if call is not None:
        while call(handle, _KEEP_SIZE, start, size) != 0:
            code = ctypes.get_errno()
            if code == errno.EINTR:
                continue
            if code in _UNKNOWN:
                break
            raise OSError(code, os.strerror(code))
        else:
            return True
    free = os.fstatvfs(handle)
    if free.f_bavail * free.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return False


@cache
def _fallocate() -> Any:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call
