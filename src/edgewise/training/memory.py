"""Memory that steps of training free and ask for again."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Of glibc's malloc.h: from how many bytes on a block is asked from the system and given back to
# it, and how many free ones at the end of the heap are given back.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
# The gradient of the words of a T5-small has 66 MB. Larger blocks, and more of them than this, go
# back: kept, they would stand between others that no longer fit there.
_LARGEST, _KEPT = 72 << 20, 512 << 20


@cache
def keep_freed_memory() -> None:
    """Let this process keep large blocks that it frees, for it will ask for them again.

    The system clears every page that it hands out, which costs more than the gradient of a table
    of embeddings takes to be filled. Where memory is not glibc's, nothing changes.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
