"""Shows references of docstrings, such as ``:class:`~module.Name```, as inline code in mkdocs."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:class|func|meth|attr|mod|data):`(~?)([\w.]+)`")


def plain(text: str) -> str:
    """The text with roles as inline code; ``~`` leaves the last name alone, as in Sphinx."""
    return ROLE.sub(lambda m: f"`{m[2].rpartition('.')[2] if m[1] else m[2]}`", text)


class PlainRoles(Extension):
    """Rewrites every docstring that is collected."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = plain(obj.docstring.value)
