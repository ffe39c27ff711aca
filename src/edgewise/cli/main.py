"""``edgewise``: the console entry.

Commands import what they need when they run, so that ``--help`` and wrong options answer at once.
"""

from __future__ import annotations

import atexit
import gc
import signal
from functools import cache
from typing import Annotated, Any

import typer

from edgewise.cli import audit, batch, demo, evaluate, experiments, export, fit, recommend, serve
from edgewise.cli.errors import ClearErrors
from edgewise.cli.output import command_of, examples

_JOURNEY = ["demo", "data", "methods", "settings", "fit", "evaluate", "report", "audit"]
_JOURNEY += ["recommend", "explain", "batch", "serve", "serve-key", "serve-events", "client"]
_JOURNEY += ["export", "tune", "reproduce", "compare"]


class Edgewise(ClearErrors):
    """Reads a command's options, or a group with all that it imports, only when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in _COMMANDS:
            return args[0], _command(args[0]), args[1:]
        if args and args[0] in _GROUPS:
            return args[0], _GROUPS[args[0]](), args[1:]
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_JOURNEY.index)


@cache
def _data() -> Any:
    from edgewise.cli.data import app

    return typer.main.get_group(app)


@cache
def _client() -> Any:
    from edgewise.cli.client import app

    return typer.main.get_group(app)


app = typer.Typer(
    cls=Edgewise,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Recommendations from language models that read the user-item graph.",
    epilog=examples(
        "edgewise demo",
        "edgewise data import ratings.csv --out data/mine",
        "edgewise fit elmrec --data data/mine --out runs/mine",
        "edgewise evaluate runs/mine",
        "edgewise recommend runs/mine --users u1 u2",
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from edgewise import __version__

        typer.echo(f"edgewise {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of all commands; ``--debug`` is read by :class:`~edgewise.cli.errors.ClearErrors`."""


_GROUPS = {"data": _data, "client": _client}
_ROOMS = demo, fit, evaluate, audit, recommend, batch, serve, experiments
_COMMANDS = {
    typer.main.get_command_name(function.__name__): (function, epilog, renamed)
    for room in _ROOMS
    for function, epilog, renamed in room.COMMANDS
}


@cache
def _command(name: str) -> Any:
    """A command with its options, which take a few milliseconds to read."""
    function, epilog, renamed = _COMMANDS[name]
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name, epilog=epilog, cls=command_of(renamed))(function)
    return typer.main.get_command(alone)


def _stands_in() -> None:
    """For a command in the list of all; see :class:`Edgewise`."""


app.command("data", help="Import, describe and make data sets.")(_stands_in)
app.command("client", help="Ask a service that runs: recommend, explain, events, models.")(
    _stands_in
)
for _name, (_function, _, _) in _COMMANDS.items():
    app.command(_name, help=_function.__doc__)(_stands_in)


app.add_typer(export.app, name="export")


def main() -> None:
    """The console entry; SIGTERM ends a command as Ctrl-C does, so that it can be resumed."""
    signal.signal(signal.SIGTERM, _stop)
    # Neither training nor answering makes garbage in cycles. To search all that is imported for it,
    # again and again and at the end, takes a quarter of a short command.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    app(prog_name="edgewise")


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
