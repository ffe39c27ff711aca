"""Write docs/settings.md, the reference of all settings, from the settings themselves.

python docs/write_settings.py            # write the page
python docs/write_settings.py --check    # fail if the page is not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgewise.config import describe_settings, flat_settings
from edgewise.models.registry import METHODS, Method

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Every setting of every method, its default, and what the paper calls it. `docs/write_settings.py`
writes this page from the classes that check the settings; `edgewise settings METHOD` prints the
same. One is changed by `--set path=value`, by a TOML file whose sections are the part before the
last dot, or in Python by `from_preset("cpu", ["path=value"])`. A preset is the defaults with the
values that stand in its row.
"""


def page() -> str:
    """The page as it should be."""
    return "\n".join([HEAD, *(_of_method(method) for method in METHODS.values())])


def _of_method(method: Method) -> str:
    source = f" {method.paper}." if method.paper else ""
    parts = [
        f"## {method.label}: `{method.name}`",
        f"{method.summary}{source}",
        "\n".join(_table(("setting", "type", "default", "meaning", "in the paper"), _rows(method))),
        "\n".join(_table(("preset", "changes"), _presets(method.presets))),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(method: Method) -> Iterator[tuple[str, ...]]:
    for row in describe_settings(method.config_class):
        yield f"`{row.path}`", row.kind, f"`{row.default}`", row.meaning, row.symbol


def _presets(presets: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for name, values in presets.items():
        changes = (f"`{path} = {_spelled(value)}`" for path, value in flat_settings(values).items())
        yield f"`{name}`", ", ".join(changes) or "none"


def _spelled(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield _line(head)
    yield _line(tuple("---" for _ in head))
    for row in rows:
        yield _line(tuple(cell.replace("|", "\\|") for cell in row))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def main() -> int:
    wanted = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
        if current == wanted:
            return 0
        print(f"{PAGE.name} is not up to date: run 'python docs/write_settings.py'")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
