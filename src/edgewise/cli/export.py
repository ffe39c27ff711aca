"""``edgewise export``: what a run has learned, for other systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.output import examples, say
from edgewise.config import check, nearest

app = typer.Typer(
    no_args_is_help=True,
    help="Write what a run has learned for other systems.",
)


@app.callback()
def _export() -> None:
    """Has commands of its own, even if it is one."""


@app.command(
    epilog=examples(
        "edgewise export embeddings runs/mine --out vectors",
        "edgewise export embeddings runs/mine --out vectors --format npy --index faiss",
    )
)
def embeddings(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    form: Annotated[
        str, typer.Option("--format", help="Of the vectors: parquet or npy (NumPy).")
    ] = "parquet",
    index: Annotated[
        str | None,
        typer.Option(
            help="An index of items beside them: faiss (approximate, HNSW) or faiss-flat (exact); "
            "the extra index."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an export that is there.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
) -> None:
    """Write the vectors of users and items with their ids.

    Of methods whose score is a dot product, and of the tokens or the graph of a language model.
    """
    from edgewise.runs.run import open_run
    from edgewise.serving.embeddings import FORMS, INDEXES, export_embeddings

    check(form in FORMS, f"--format {form}: no such format.{nearest(form, FORMS)}")
    known = index is None or index in INDEXES
    check(known, f"--index {index}: no such index.{nearest(index or '', INDEXES)}")
    told = export_embeddings(open_run(run, data), out, form=form, index=index, force=force)  # type: ignore[arg-type]
    say(
        f"wrote {out}: {told['users']:,} users and {told['items']:,} items of {told['size']} "
        f"numbers, to be compared by {told['comparison']}"
    )
    if told["index"]:
        recall = ", ".join(f"{n} {v:.3f}" for n, v in told["index"].items() if "@" in n)
        say(f"index: {told['index']['kind']}, {recall or 'no user to measure it by'}")
