"""``edgewise fit``: train a model into a run folder; one command a method, one way to train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.output import examples

app = typer.Typer(
    no_args_is_help=True,
    help="Train a model on a data set.",
    epilog=examples(
        "edgewise fit elmrec --data data/mine --out runs/mine --preset tiny",
        "edgewise fit graph-gpt --data data/mine --out runs/gpt --preset tiny",
    ),
)

Out = Annotated[Path, typer.Option("--out", help="The run folder to write.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="A data set folder; see 'edgewise data'.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="A TOML file of settings, which go before the preset's. Its method and split, if it "
        "names them, must not contradict the command; its seeds, data and evaluation are for "
        "experiments."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="section.key=value, before preset and file; repeatable."),
]
Split = Annotated[
    str | None,
    typer.Option(help="leave-one-out (the default), ratio or time; the protocol's if absent."),
]
SplitSeed = Annotated[int | None, typer.Option(help="Seed of a ratio split.")]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="honest (the default), temporal, elmrec-released or llm4rec-released; the released "
        "ones leak, and say so in every report. Goes before the file's."
    ),
]
EdgeShare = Annotated[
    float | None,
    typer.Option(
        help="Of elmrec-released: the share of all rows that become edges where the data set has "
        "no texts; 0.535."
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run, to the same result.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a run that is there.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


@app.command(
    epilog=examples(
        "edgewise fit elmrec --data data/mine --out runs/mine --preset tiny",
        "edgewise fit elmrec --data data/mine --out runs/own --set training.epochs=3 "
        "--set graph.features=random",
        "edgewise fit elmrec --data data/mine --out runs/own --config runs/mine/config.toml",
        "edgewise fit elmrec --data data/mine --out runs/later --protocol temporal",
        "edgewise fit elmrec --out runs/mine --resume",
        "torchrun --nproc-per-node 2 -m edgewise.cli.main fit elmrec --data data/mine --out runs/2",
    )
)
def elmrec(
    out: Out,
    data: Data = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="tiny, cpu (the default), paper-beauty, paper-sports, paper-toys, pod, p5, t5."
        ),
    ] = None,
    config: Config = None,
    set_: Set = None,
    split: Split = None,
    split_seed: SplitSeed = None,
    protocol: Protocol = None,
    edge_share: EdgeShare = None,
    resume: Resume = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train ELMRec, P5, POD or plain T5 (by preset) and keep the best model on validation rows."""
    from edgewise.cli.fitting import Wish, fit

    wish = Wish(
        "elmrec", out, data, preset, config, set_ or [], split, split_seed, protocol, edge_share
    )
    fit(wish, resume=resume, force=force, quiet=quiet)


@app.command(
    "graph-gpt",
    epilog=examples(
        "edgewise fit graph-gpt --data data/mine --out runs/gpt --preset tiny",
        "edgewise fit graph-gpt --data data/mine --out runs/gpt --split ratio "
        "--set attention.kind=none",
        "edgewise fit graph-gpt --data data/mine --out runs/own --config runs/gpt/config.toml",
        "edgewise fit graph-gpt --out runs/gpt --resume",
    ),
)
def graph_gpt(
    out: Out,
    data: Data = None,
    preset: Annotated[
        str | None, typer.Option(help="tiny, cpu (the default), cpu-stages or paper.")
    ] = None,
    config: Config = None,
    set_: Set = None,
    split: Split = None,
    split_seed: SplitSeed = None,
    protocol: Protocol = None,
    edge_share: EdgeShare = None,
    resume: Resume = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train a GPT-2 whose attention reads the graph, stage by stage, best epochs kept."""
    from edgewise.cli.fitting import Wish, fit

    wish = Wish(
        "graph-gpt", out, data, preset, config, set_ or [], split, split_seed, protocol, edge_share
    )
    fit(wish, resume=resume, force=force, quiet=quiet)
