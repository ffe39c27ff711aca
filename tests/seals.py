"""Sealed JSON files, edited by somebody who seals them again or does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewise.seals import SEAL, seal_fields


def edit(path: Path, change: Callable[[dict[str, Any]], object], *, seal: bool = False) -> None:
    """Change the values of a file in place; ``seal`` seals them again."""
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    if seal:
        values = seal_fields({key: value for key, value in values.items() if key != SEAL})
    path.write_text(json.dumps(values), encoding="utf-8")
