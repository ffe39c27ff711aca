"""``edgewise compare``: the papers' figures and ours, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.output import examples, warn
from edgewise.cli.reproduce import Configs, Experiments, check_renamed
from edgewise.config import check, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.experiments.compare import Comparison
    from edgewise.experiments.grid import Layout
    from edgewise.experiments.results import Result

EXAMPLES = examples(
    "edgewise compare elmrec/table-2",
    "edgewise compare elmrec/table-2 --dataset beauty --format latex --out table-2.tex",
    "edgewise compare elmrec graph-gpt --format html --out runs/report.html",
    "edgewise compare results/elmrec/table-2/beauty/elmrec.json --data runs/data/beauty",
)
_FORMATS = ("markdown", "csv", "latex", "html")
_SUFFIXES = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".html": "html"}


def compare(
    results: Annotated[
        list[str],
        typer.Argument(help="Result files, folders of them, or tables such as elmrec/table-2."),
    ],
    form: Annotated[
        str | None, typer.Option("--format", help="markdown, csv, latex or html.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write this file instead of printing.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="The row that others are compared with.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Draw figures into this folder, too, as PNG and SVG.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The data set, or a folder of them, instead of those in RUNS/data."),
    ] = None,
    allow_unsealed: Annotated[
        bool, typer.Option("--allow-unsealed", help="Accept results older than seals.")
    ] = False,
    configs: Configs = None,
    experiments: Experiments = None,
    results_folder: Annotated[
        Path, typer.Option("--results", help="The folder that results are named in.")
    ] = Path("results"),
    runs: Annotated[Path, typer.Option(help="Where users' rows are, for paired tests.")] = Path(
        "runs"
    ),
) -> None:
    """Print what a paper prints, ours under its released protocol, and ours under the honest one.

    With bootstrap intervals over users, t-tests over seeds and paired bootstrap tests over users,
    adjusted by Holm. A row that has not been run is 'not yet'. Files that were changed by hand, or
    that were measured on other data than their neighbours or this machine's, are refused.
    """
    from edgewise.experiments.compare import compare as compared
    from edgewise.experiments.grid import CONFIGS, Layout

    check_renamed(experiments)
    chosen = _format(form, out)
    layout = Layout(configs or CONFIGS, results_folder, runs)
    found, tables = _read(results, layout, allow_unsealed)
    names = {each.place.dataset for each in found}
    found = [each for each in found if dataset in (None, each.place.dataset)]
    _check_data(found, layout, data)
    comparison = compared(found, layout, tables, reference=reference)
    if dataset is not None:
        comparison = _only(comparison, dataset, names)
    check(bool(comparison.tables), "nothing to compare: no result file, and no table of a paper")
    _check_reference(comparison, reference)
    if figures is not None:
        from edgewise.experiments.plots import save_figures

        for path in save_figures(comparison, figures):
            typer.echo(f"wrote {path}", err=True)
    _write(_text(comparison, chosen), out)


def _format(asked: str | None, out: Path | None) -> str:
    if asked is not None:
        check(asked in _FORMATS, f"--format {asked}: no such format.{nearest(asked, _FORMATS)}")
        return asked
    suffix = ".md" if out is None else out.suffix.lower()
    check(
        suffix in _SUFFIXES,
        f"--out {out}: its name tells no format; end it in {', '.join(_SUFFIXES)}, or name one of "
        f"{', '.join(_FORMATS)} with --format",
    )
    return _SUFFIXES[suffix]


def _read(
    asked: Sequence[str], layout: Layout, allow_unsealed: bool
) -> tuple[list[Result], list[str]]:
    """The results, and the tables that were asked for by name."""
    from edgewise.experiments.compare import results_of, tables_below

    tables: dict[str, None] = {}
    found: dict[object, Result] = {}
    for name in asked:
        tables |= dict.fromkeys(tables_below(layout, name))
        results = results_of(layout, name, allow_unsealed=allow_unsealed)
        found |= {(each.file, each.place): each for each in results}
    return list(found.values()), list(tables)


def _check_data(results: Sequence[Result], layout: Layout, data: Path | None) -> None:
    from edgewise.experiments.results import check_data, check_same_data

    check_data(results, layout, data)
    check_same_data(results)


def _check_reference(comparison: Comparison, reference: str | None) -> None:
    """Refuse a reference that is no row, or none of ours."""
    from edgewise.experiments.compare import PAPER

    if reference is None:
        return
    figures = comparison.figures
    names = [name for name in figures["method"].unique() if ":" not in name]
    check(
        reference in names, f"--reference {reference}: no table has it.{nearest(reference, names)}"
    )
    ours = figures.drop_nulls("value").filter(method=reference)["origin"].to_list()
    check(
        any(origin != PAPER for origin in ours),
        f"--reference {reference}: has not been measured; 'edgewise reproduce TABLE --method "
        f"{reference}' does",
    )


def _only(comparison: Comparison, dataset: str, measured: set[str]) -> Comparison:
    """The blocks of one data set; ``measured`` are data sets of results."""
    shown = set(comparison.figures["dataset"])
    valid = shown | measured - {dataset}
    check(dataset in shown, f"--dataset {dataset}: no table has it.{nearest(dataset, valid)}")
    return comparison.only(dataset)


def _text(comparison: Comparison, form: str) -> str:
    from edgewise.experiments.tables import FORMATS

    text = FORMATS[form](comparison)
    if form == "html" and len(text) > 2_000_000:
        warn(f"the page has {len(text) / 1e6:.1f} MB; ask for fewer tables to make it lighter")
    return text


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    from edgewise.files import write_text

    write_text(out, text)
    typer.echo(f"wrote {out}")
