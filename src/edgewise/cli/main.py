"""``edgewise``: the console entry.

Commands import what they need when they run, so that ``--help`` and wrong options answer at once.
"""

from __future__ import annotations

import atexit
import gc
import signal
from typing import Annotated, Any

import typer

from edgewise.cli import audit, batch, demo, evaluate, experiments, export, fit, recommend, serve
from edgewise.cli.errors import ClearErrors
from edgewise.cli.output import command_of, examples

_JOURNEY = ["demo", "data", "methods", "settings", "fit", "evaluate", "report", "audit"]
_JOURNEY += ["recommend", "explain", "batch", "serve", "serve-key", "serve-events", "client"]
_JOURNEY += ["export", "tune", "reproduce", "compare"]


class Edgewise(ClearErrors):
    """Reads groups of commands, with all that they import, only when they are called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] == "data":
            from edgewise.cli.data import app as data_app

            return "data", typer.main.get_group(data_app), args[1:]
        if args and args[0] == "client":
            from edgewise.cli.client import app as client_app

            return "client", typer.main.get_group(client_app), args[1:]
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_JOURNEY.index)


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


@app.command("data", help="Import, describe and make data sets.")
def _data() -> None:
    """Stands in the list of commands; see :class:`Edgewise`."""


@app.command("client", help="Ask a service that runs: recommend, explain, events, models.")
def _client() -> None:
    """As above."""


for _room in (demo, fit, evaluate, audit, recommend, batch, serve, experiments):
    for _function, _examples, _renamed in _room.COMMANDS:
        app.command(epilog=_examples, cls=command_of(_renamed))(_function)


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
