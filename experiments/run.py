"""Fit and measure the runs of one or more configurations, and keep the figures.

Each configuration stands at ``experiments/<question>/<data set>/<variant>.toml``; its figures go to
``results/<question>/<data set>/<variant>.json``, written by ``edgewise evaluate``, or to
``<variant>-seed<N>.json`` for each of its ``seeds``. It may also name its method, its split, how
the data set is imported and how the run is measured: see ``edgewise.runs.recipe``. A run that is
already there is resumed or measured again, not trained twice.

    python experiments/run.py --data DATA_FOLDER experiments/direct/beauty/*.toml
    python experiments/run.py --data DATA_FOLDER --no-rerank experiments/sequential/beauty/*.toml

Runs keep one thread each if OMP_NUM_THREADS=1 is set, so that two can stand side by side on two
cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.runs.methods import DEFAULT_METHOD
from edgewise.runs.recipe import DataRecipe, EvaluationRecipe, Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of raw data sets by name")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--no-rerank", action="store_true", help="measure raw sequential lists too")
    parser.add_argument("--max-users", type=int, help="measure a seeded sample of the users")
    options = parser.parse_args()
    for config in options.configs:
        for row in rows_of(config.resolve()):
            run_one(row, options)


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the text above."""


@dataclass(frozen=True)
class Row:
    """One run of a configuration; ``seed`` is None where the settings' own counts."""

    config: Path
    recipe: Recipe
    seed: int | None

    @property
    def place(self) -> Path:
        """Where the run stands below ``runs/``, and its figures below ``results/``."""
        seed = "" if self.seed is None else f"-seed{self.seed}"
        return self.config.relative_to(ROOT / "experiments").with_name(self.config.stem + seed)

    @property
    def dataset(self) -> str:
        """The data set, as its folder of configurations is called."""
        return self.config.parent.name


def rows_of(config: Path) -> list[Row]:
    """The runs that a configuration asks for."""
    recipe = read_recipe(config)
    return [Row(config, recipe, seed) for seed in recipe.seeds or (None,)]


def run_one(row: Row, options: argparse.Namespace) -> None:
    """Import the data set if needed, fit, measure on test rows."""
    runs = options.runs.resolve()
    data, run = runs / "data" / data_folder(row), runs / row.place
    if not data.exists():
        source = options.data.resolve() / (row.recipe.data.source or row.dataset)
        edgewise("data", "import", source, *import_options(row), "--out", data)
    if not (run / "model").exists():
        seed = [] if row.seed is None else ["--set", f"seed={row.seed}"]
        start = ["--data", data, "--config", row.config, *seed]
        resume = ["--resume"] if run.exists() else start
        edgewise("fit", row.recipe.method or DEFAULT_METHOD, *resume, "--out", run)
    result = ROOT / "results" / f"{row.place}.json"
    how = row.recipe.evaluation
    edgewise("evaluate", run, *evaluation_options(how, options.max_users), "--json", result)
    if options.no_rerank:
        raw = result.with_name(f"{row.place.name}-no-rerank.json")
        words = evaluation_options(replace(how, tasks=("sequential",)), options.max_users)
        edgewise("evaluate", run, *words, "--no-rerank", "--json", raw)


def data_folder(row: Row) -> str:
    """The data set's name, with how it is imported: two ways to import it never meet."""
    recipe = row.recipe.data
    source = [] if recipe.source is None else [recipe.source]
    options = (f"{name}-{value}".removesuffix(".0") for name, value in recipe.options().items())
    return "-".join([row.dataset, *source, *options]).replace("/", "-")


def import_options(row: Row) -> list[object]:
    """Options of ``edgewise data import``."""
    recipe = row.recipe.data
    name = [] if recipe == DataRecipe() else ["--name", row.dataset]
    return [*name, *flags(recipe.options())]


def evaluation_options(recipe: EvaluationRecipe, max_users: int | None) -> list[object]:
    """Options of ``edgewise evaluate``; the runner's own ``--max-users`` goes first."""
    repeated = {"--task": recipe.tasks, "--metric": recipe.metrics, "-k": recipe.ks}
    lists = [word for name, values in repeated.items() for each in values for word in (name, each)]
    single = {"negatives": recipe.negatives, "max_users": max_users or recipe.max_users}
    return [*lists, *flags({name: value for name, value in single.items() if value is not None})]


def flags(values: dict[str, object]) -> list[object]:
    """``--name value`` for each, spelled as on a command line."""
    return [w for name, value in values.items() for w in (f"--{name.replace('_', '-')}", value)]


def edgewise(*arguments: object) -> None:
    """Run an edgewise command from the project's root, and stop where it fails."""
    words = [str(_from_root(each) if isinstance(each, Path) else each) for each in arguments]
    print("edgewise", *words, flush=True)
    command = [sys.executable, "-m", "edgewise.cli.main", *words]
    if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(code)


def _from_root(path: Path) -> Path:
    # Results are committed, and tell which command made them: without this machine's folders.
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    main()
