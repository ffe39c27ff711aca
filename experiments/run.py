"""Fit and measure the runs of one or more configurations, and keep the figures.

Each configuration stands at ``experiments/<question>/<data set>/<variant>.toml``; its figures go to
``results/<question>/<data set>/<variant>.json``, written by ``edgewise evaluate``. A run that is
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
from pathlib import Path

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
        run_one(config.resolve(), options)


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the text above."""


def run_one(config: Path, options: argparse.Namespace) -> None:
    """Import the data set if needed, fit, measure on test rows."""
    question, dataset = config.parent.parent.name, config.parent.name
    place = Path(question, dataset, config.stem)
    runs = options.runs.resolve()
    data, run = runs / "data" / dataset, runs / place
    if not data.exists():
        edgewise("data", "import", options.data.resolve() / dataset, "--out", data)
    if not (run / "model").exists():
        resume = ["--resume"] if run.exists() else ["--data", data, "--config", config]
        edgewise("fit", "elmrec", *resume, "--out", run)
    result = ROOT / "results" / place.with_suffix(".json")
    sample = ["--max-users", options.max_users] if options.max_users else []
    edgewise("evaluate", run, *sample, "--json", result)
    if options.no_rerank:
        raw = result.with_name(f"{config.stem}-no-rerank.json")
        edgewise("evaluate", run, "--task", "sequential", "--no-rerank", *sample, "--json", raw)


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
