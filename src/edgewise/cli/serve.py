"""``edgewise serve``: a fitted run as a service, and the keys of those who may ask it."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.ids import WeightsOption
from edgewise.cli.output import examples, say
from edgewise.config import check, nearest
from edgewise.errors import ConfigError
from edgewise.files import replacing

if TYPE_CHECKING:
    import polars as pl

    from edgewise.serving.app import ServeSettings
    from edgewise.serving.store import Store

_BACKLOG = 2048
_ROWS_AT_ONCE = 10_000


def serve(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN [RUN ...]",
            help="Run folders, made by 'edgewise fit'; the first one answers, others can be "
            "activated.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="A folder of more run folders, looked through whenever one is wanted."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's need --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8000,
    workers: Annotated[
        int, typer.Option(help="Processes that answer; each holds the model in memory.")
    ] = 1,
    store: Annotated[
        str,
        typer.Option(
            envvar="EDGEWISE_STORE",
            help="Events, lists and items: a path, sqlite:///PATH, or redis://HOST:PORT/N.",
        ),
    ] = "edgewise-store.db",
    deadline_ms: Annotated[
        float, typer.Option(help="After so long, popular items are answered instead.")
    ] = 200,
    stored: Annotated[
        int, typer.Option(help="Items of a stored list, from which pages and filters are answered.")
    ] = 200,
    keys: Annotated[
        Path | None,
        typer.Option(envvar="EDGEWISE_KEYS", help="File of keys, see 'edgewise serve-key'."),
    ] = None,
    rate: Annotated[
        float, typer.Option(help="Requests a second of a key that has no rate; 0 has no limit.")
    ] = 0,
    max_body: Annotated[int, typer.Option(help="Bytes of a request.")] = 1_000_000,
    threads: Annotated[
        int | None, typer.Option(help="Of the model in each worker; the cores are shared out.")
    ] = None,
    weights: WeightsOption = None,
    log_level: Annotated[
        str, typer.Option(help="debug, info (a line a request), warning or error.")
    ] = "info",
) -> None:
    """Answer requests by HTTP: recommend, rank, explain, events, items, models."""
    _check_packages()
    from edgewise.serving.app import ServeSettings

    check(bool(runs) or models is not None, "name a run folder, or a folder of them with --models")
    check(0 <= port < 65536, f"--port {port}: must be 0 to 65535")
    check(1 <= workers <= 256, f"--workers {workers}: must be 1 to 256")
    check(deadline_ms > 0, f"--deadline-ms {deadline_ms:g}: must be above 0")
    check(1 <= stored <= 10_000, f"--stored {stored}: must be 1 to 10000")
    check(rate >= 0, f"--rate {rate:g}: must be 0 or more")
    check(max_body >= 1000, f"--max-body {max_body}: must be 1000 or more")
    check(threads is None or threads >= 1, f"--threads {threads}: must be 1 or more")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    settings = ServeSettings(
        runs=tuple(str(run.absolute()) for run in runs or ()),
        models=None if models is None else str(models.absolute()),
        data=None if data is None else str(data.absolute()),
        store=store,
        keys=None if keys is None else str(keys.absolute()),
        workers=workers,
        threads=threads or max(1, (cores or 1) // workers),
        deadline_ms=deadline_ms,
        stored=stored,
        rate=rate,
        max_body=max_body,
        log_level=log_level,
        weights=weights,
    )
    _check_settings(settings, host)
    with _listening(host, port) as listener:
        _run(settings, listener)


def serve_key(
    name: Annotated[str, typer.Argument(help="Who will have it, as the log calls them.")],
    scope: Annotated[
        list[str], typer.Option(help="read, events or admin (everything); repeatable.")
    ],
    file: Annotated[Path, typer.Option(help="The file of keys; made where there is none.")],
    rate: Annotated[float, typer.Option(help="Requests a second; 0 takes that of serve.")] = 0,
) -> None:
    """Make a key for 'edgewise serve --keys FILE', which keeps its hash alone."""
    _check_packages()
    from edgewise.serving.keys import new_key

    key = new_key(file, name, scope, rate)
    say(f"added {name!r} to {file}; this is the key, which is shown this once:", stderr=True)
    say(key)


def serve_events(
    store: Annotated[str, typer.Argument(help="The store of a service: a path or an address.")],
    out: Annotated[Path, typer.Option(help="Write this .csv or .parquet file.")],
    after: Annotated[int, typer.Option(help="Go on behind this place of the log.")] = 0,
) -> None:
    """Write the events of a service as a table that a data set takes, without dismissals."""
    _check_packages()
    from edgewise.serving.store import open_store

    check(out.suffix in (".csv", ".parquet"), f"--out {out}: name a .csv or .parquet file")
    check(
        "://" in store or Path(store).is_file(), f"{store}: no store is there; see 'serve --store'"
    )
    opened = open_store(store)
    last, frame = _events_frame(opened, after)
    opened.close()
    with replacing(out) as partial:
        frame.write_parquet(partial) if out.suffix == ".parquet" else frame.write_csv(partial)
    say(f"wrote {len(frame):,} events to {out}; go on next time with --after {last}")


COMMANDS = (
    (
        serve,
        examples(
            "edgewise serve runs/mine",
            "edgewise serve runs/mine runs/other --workers 2 --store shop.db",
            "edgewise serve-key shop --scope read --scope events --file keys.toml",
            "edgewise serve --models runs --host 0.0.0.0 --keys keys.toml",
            "curl localhost:8000/v1/recommend -H 'Content-Type: application/json' "
            """-d '{"user_id": "u1"}'""",
        ),
        {"--reload": "nothing: POST /v1/models/{version}:activate"},
    ),
    (
        serve_key,
        examples(
            "edgewise serve-key shop --scope read --scope events --file keys.toml",
            "edgewise serve-key owner --scope admin --file keys.toml --rate 50",
        ),
        {},
    ),
    (
        serve_events,
        examples(
            "edgewise serve-events edgewise-store.db --out today.csv",
            "edgewise serve-events edgewise-store.db --out next.csv --after 1200",
        ),
        {},
    ),
)


def _events_frame(store: Store, after: int) -> tuple[int, pl.DataFrame]:
    """The place of the last event, and all that say something of a taste."""
    import polars as pl

    names = ("user_id", "item_id", "timestamp", "kind")
    rows: list[tuple] = []
    last = after
    while part := store.events_after(last, _ROWS_AT_ONCE):
        last = part[-1].place
        kept = (event for event in part if event.kind != "dismiss")
        rows += [tuple(getattr(event, name) for name in names) for event in kept]
    kinds = dict.fromkeys(names, pl.String) | {"timestamp": pl.Int64}
    return last, pl.DataFrame(rows, kinds, orient="row")


def _check_packages() -> None:
    from importlib.util import find_spec

    for name in ("fastapi", "uvicorn", "orjson", "prometheus_client"):
        if find_spec(name) is None:
            raise ConfigError(f"{name} is not installed: pip install 'edgewise[serve]'")


def _check_settings(settings: ServeSettings, host: str) -> None:
    """Everything that can be known to be wrong before a worker starts."""
    from edgewise.serving.gate import LOOPBACK
    from edgewise.serving.keys import Keys
    from edgewise.serving.logs import LEVELS
    from edgewise.serving.store import open_store

    level = settings.log_level
    check(level in LEVELS, f"--log-level {level}: no such level.{nearest(level, LEVELS)}")
    check(
        settings.keys is not None or host in LOOPBACK,
        f"--host {host}: without keys, anybody who reaches this address could read and change "
        "everything; make keys with 'edgewise serve-key' and name them with --keys",
    )
    if settings.keys is not None:
        Keys.read(Path(settings.keys))
    settings.folders.check_data()
    open_store(settings.store).close()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that all workers share.

    Raises:
        ConfigError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"--host {host} --port {port}: cannot listen there ({error.strerror or error}); "
            "stop what uses it, or choose another one (--port 0 takes a free one)"
        ) from None
    listener.set_inheritable(True)
    return listener


def _run(settings: ServeSettings, listener: socket.socket) -> None:
    from edgewise.serving.metrics import use_folder

    os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"edgewise serves http://{shown}:{port} (routes: /docs), stops with Ctrl-C", stderr=True)
    with tempfile.TemporaryDirectory(prefix="edgewise-metrics-") as folder:
        if settings.workers > 1:
            use_folder(Path(folder))
        from edgewise.serving.supervisor import Supervisor, work

        alone = settings.workers == 1
        status = work(settings, listener) if alone else Supervisor(settings, listener).run()
    if status:
        say("error: a worker could not start: see the log above", colour="red", stderr=True)
        raise typer.Exit(1)
