"""Text of others, ids, titles, names of files, made safe to show.

A terminal and a browser act on some characters instead of showing them: ESC and 0x9b begin
commands, U+202E turns the line round, a lone half of a surrogate pair cannot be written at all.
Tables, messages and pages show the replacement character in their place; files keep them.
"""

from __future__ import annotations

import json
import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# C0 less tab and line feed, DEL and C1; directions, line and paragraph separators, the byte-order
# mark, annotations, surrogates, and tags. Joiners stay: scripts and emoji are written with them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with each character that would act instead of being shown replaced."""
    return _UNSAFE.sub(REPLACEMENT, text)


def one_line(text: object) -> str:
    """:func:`printable`, in one line."""
    return printable(" ".join(str(text).split()))


def json_text(values: Any, **options: Any) -> str:
    """JSON for people and programs: letters as they are, what would act on a terminal escaped."""
    text = json.dumps(values, ensure_ascii=False, **options)
    return _UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text)
