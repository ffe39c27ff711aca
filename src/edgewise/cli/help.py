"""Wording that all commands share."""

from __future__ import annotations


def examples(*commands: str) -> str:
    """The end of a ``--help`` text; each command stands on a line of its own."""
    return "\n\n".join(["Examples:", *(f"  {command}" for command in commands)])
