"""Errors as one clear line instead of a traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from edgewise.errors import EdgewiseError

WRONG_USE = 2


class ClearErrors(TyperGroup):
    """Ends with exit code 2 and one line when edgewise or the file system refuses something.

    ``--debug`` lets the traceback through.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (EdgewiseError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            typer.secho(f"error: {_line(error)}", fg="red", err=True)
            raise typer.Exit(WRONG_USE) from None


def warn(message: str) -> None:
    """A line that does not stop the command."""
    typer.secho(f"warning: {message}", fg="yellow", err=True)


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
