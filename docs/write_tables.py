"""Write the tables of the documentation from the files under ``results/``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` in ``README.md`` or a page of
``docs/``; everything around it is written by hand. A result that is missing gives a row "not run".
A name such as ``elmrec/table-4`` is a table of a paper, as ``edgewise compare`` makes it; the rows
of most others are declared in ``docs/tables.toml``.

    python docs/write_tables.py            # write
    python docs/write_tables.py --check    # fail where a page is not up to date
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl

from edgewise.experiments.compare import compare, results_of
from edgewise.experiments.figures import machine_in_words, speed
from edgewise.experiments.grid import CONFIGS, Layout
from edgewise.experiments.published import paper_file
from edgewise.experiments.results import EVALUATION
from edgewise.experiments.tables import EFFORT_HEADS, markdown_tables, timing
from edgewise.files import write_text

ROOT = Path(__file__).resolve().parents[1]
PLACE = re.compile(r"(<!-- table: (?P<name>[\w/-]+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
NOT_RUN = "not run"
Rows = list[list[str]]
"""The head of a table, and its rows; a row that ends early has no more cells."""


# What there is.

_SEED = re.compile(r"-seed(\d+)$")
_SCHEMA = {
    **dict.fromkeys(("file", "name", "task", "system", "metric"), pl.String),
    **dict.fromkeys(("mean", "low", "high", "seconds", "users_per_second"), pl.Float64),
    **dict.fromkeys(("seed", "units"), pl.Int64),
    **dict.fromkeys(("trained_on", "measured_on"), pl.String),
    **{"epochs": pl.List(pl.Float64), "are_limits": pl.Boolean, "answers_alone": pl.Boolean},
}


@dataclass
class Results:
    """The result files of a folder.

    Attributes:
        folder: where they stand.
        asked: paths below ``folder`` that tables have asked for, whether they exist or not.
    """

    folder: Path
    asked: set[str] = field(default_factory=set)

    @cached_property
    def contents(self) -> dict[str, dict[str, Any]]:
        """All files by their paths below the folder."""
        files = {p.relative_to(self.folder).as_posix(): p for p in self.folder.rglob("*.json")}
        return {name: json.loads(files[name].read_text("utf-8")) for name in sorted(files)}

    @cached_property
    def figures(self) -> pl.DataFrame:
        """One row a file, task, system and metric.

        ``name`` is the file's without its seed, ``system`` is empty for the run's own, ``units``
        are users or pairs.
        """
        found = (row for file, content in self.contents.items() for row in _figures(file, content))
        return pl.DataFrame(list(found), schema=_SCHEMA)

    def read(self, name: str) -> dict[str, Any] | None:
        """The file ``name.json``, None where it is missing."""
        self.asked.add(f"{name}.json")
        return self.contents.get(f"{name}.json")

    def of(self, name: str, task: str, system: str = "") -> pl.DataFrame:
        """Figures of a row: of all its seeds in order, or of the one file without a seed."""
        own = self.figures.filter(name=name).sort("seed", maintain_order=True)
        seeded = own.drop_nulls("seed")
        own = own if seeded.is_empty() else seeded
        self.asked |= {f"{name}.json", *own["file"]}
        return own.filter(task=task, system=system)

    def most_measured(self, names: Sequence[str], task: str, system: str) -> pl.DataFrame:
        """A system's figures from the first file that was measured on most users or pairs."""
        found = pl.concat([self.of(name, task, system) for name in names])
        best = found.filter(pl.col("units") == pl.col("units").max())
        return _first_file(best)

    def unasked(self) -> list[str]:
        """Result files that no table shows."""
        return [name for name in self.contents if name not in self.asked]


def _first_file(figures: pl.DataFrame) -> pl.DataFrame:
    return figures.filter(pl.col("file") == pl.col("file").first())


def _figures(file: str, content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "run" not in content or "results" not in content:
        return
    stem = file.removesuffix(".json")
    seed = _SEED.search(stem)
    about = {
        "file": file,
        "name": stem if seed is None else stem.removesuffix(seed[0]),
        "seed": None if seed is None else int(seed[1]),
        "seconds": content["run"]["training_seconds"],
        "trained_on": machine_in_words(content["run"].get("machine")),
        "measured_on": machine_in_words(content.get("machine")),
        "epochs": _epochs(content),
        "are_limits": "learning" not in content,
    }
    for task, systems in content["results"].items():
        for number, (system, report) in enumerate(systems.items()):
            units = report.get("num_users") or report["num_pairs"]
            which = {"task": task, "system": system if number else "", "units": units}
            which |= speed([report], units)
            for metric, estimate in report["metrics"].items():
                yield {**about, **which, "metric": metric, **estimate}


def _epochs(content: Mapping[str, Any]) -> list[int]:
    """Epochs of every stage; files older than this record have those that were allowed."""
    config = content["run"]["config"]
    if "learning" in content:
        known = [*content["learning"].values()]
    else:
        stages = [config["training"][stage] for stage in config.get("stages", ())]
        known = stages or [config["training"]]
    return [stage["epochs"] for stage in known]


# How it is spelled.


def spread(figures: pl.DataFrame, metric: str, digits: int = 4) -> str:
    """Mean and standard deviation over seeds; a single run has no deviation."""
    means = figures.filter(metric=metric)["mean"].to_list()
    mean = f"{statistics.mean(means):.{digits}f}"
    return mean if len(means) == 1 else f"{mean} ± {statistics.stdev(means):.{digits}f}"


def interval(figures: pl.DataFrame, metric: str) -> str:
    """A mean and the ends of its 95 % interval; "not run" where there is none."""
    for mean, low, high in figures.filter(metric=metric).select("mean", "low", "high").rows():
        return f"{mean:.4f} ({low:.4f} to {high:.4f})"
    return NOT_RUN


def accuracy(figures: pl.DataFrame) -> list[str]:
    """The cells below :data:`_ACCURACY`."""
    hits = [spread(figures, "HitRate@5"), spread(figures, "NDCG@5")]
    return [*hits, interval(figures, "HitRate@10"), spread(figures, "NDCG@10")]


def effort(figures: pl.DataFrame) -> list[str]:
    """The cells below :data:`_EFFORT`: of every stage; mean epochs, median seconds over seeds."""
    runs = figures.unique("file", maintain_order=True)
    limit = "≤ " if runs["are_limits"].any() else ""
    stages = zip(*runs["epochs"].to_list(), strict=True)
    epochs = " + ".join(f"{limit}{statistics.mean(each):.0f}" for each in stages)
    seconds = timing(statistics.median(runs["seconds"]), runs["trained_on"][0])
    return [epochs or "none", seconds, rate(figures), units(figures)]


def rate(figures: pl.DataFrame) -> str:
    """Users or pairs a second, of the first seed; "≥" where metrics took time of it, too."""
    first = figures.row(0, named=True)
    limit = "" if first["answers_alone"] else "≥ "
    return timing(first["users_per_second"], first["measured_on"], limit)


def units(figures: pl.DataFrame) -> str:
    """Users or pairs."""
    return f"{figures['units'][0]:,}"


_ACCURACY = ["HR@5", "NDCG@5", "HR@10 (95 % interval)", "NDCG@10"]
_EFFORT = ["epochs", *EFFORT_HEADS, "users"]


# Tables of single runs beside popularity.


def beside_popularity(results: Results, head: str, groups: Sequence[Mapping[str, Any]]) -> Rows:
    """Accuracy of every run, and of popularity where it was measured on most users.

    Args:
        results: the files.
        head: over the labels.
        groups: each with a task, the places of its rows by their labels, and popularity's label.
    """
    rows = [[*head.split("|"), *_ACCURACY, *_EFFORT]]
    for group in groups:
        task, names = group["task"], group["rows"]
        for label, name in names.items():
            own = results.of(name, task)
            cells = [*accuracy(own), *effort(own)] if len(own) else [NOT_RUN]
            rows.append([*label.split("|"), *cells])
        own = results.most_measured([*names.values()], task, "Popularity")
        cells = [*accuracy(own), "", "", rate(own), units(own)] if len(own) else [NOT_RUN]
        rows.append([*group["popularity"].split("|"), *cells])
    return rows


def at_a_glance(
    results: Results, columns: Mapping[str, Sequence[str]], names: Mapping[str, str]
) -> Rows:
    """HitRate@10 / NDCG@10, means over seeds, the best NDCG of a column in bold.

    Args:
        results: the files.
        columns: by their heads: what stands for ``{}`` in a place, and a task.
        names: labels of rows, each with the place of its figures below ``results/``.
    """
    found = {
        label: [results.of(name.format(data), task) for data, task in columns.values()]
        for label, name in names.items()
    }
    best = [
        max((_mean_of(each, "NDCG@10") for each in column if len(each)), default=0.0)
        for column in zip(*found.values(), strict=True)
    ]
    body = []
    for label, own in found.items():
        cells = []
        for each, most in zip(own, best, strict=True):
            told = _pair(partial(_mean_of, each)) if len(each) else NOT_RUN
            is_best = len(each) and _mean_of(each, "NDCG@10") == most
            cells.append(f"**{told}**" if is_best else told)
        seconds = own[0].unique("file")["seconds"].median() if len(own[0]) else None
        cells.append("" if seconds is None else f"{seconds:,.0f}")
        body.append([label, *cells])
    return [["method", *columns, "training on the first, s"], *body]


def _mean_of(figures: pl.DataFrame, metric: str) -> float:
    return statistics.mean(figures.filter(metric=metric)["mean"].to_list())


_REVIEWS = "reviews/musical_instruments/all-tasks"
_TEXT = ("BLEU-1", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "Distinct")


def reviews_text(results: Results) -> Rows:
    """One model of three tasks: what it writes, beside one sentence for everybody."""
    rows: Rows = [["system", *_TEXT, "pairs"]]
    for label, system in (("ELMRec", ""), ("Most frequent text", "Most frequent text")):
        own = results.of(_REVIEWS, "explanation", system)
        cells = (
            [*(spread(own, name, 2) for name in _TEXT), f"{own['units'][0]}"] if len(own) else []
        )
        rows.append([label, *(cells or [NOT_RUN])])
    return rows


def two_protocols(results: Results, names: Mapping[str, Sequence[str]]) -> Rows:
    """The same model under the released protocol and under the honest one, direct, HR@10."""
    rows: Rows = [["data", "model", "released protocol, leaks", "honest"]]
    for label, methods in names.items():
        system = "Popularity" if label.endswith("popularity") else ""
        columns = (
            [f"elmrec/table-2/{m}{end}" for m in methods] for end in ("@elmrec-released", "")
        )
        found = [results.most_measured(files, "direct", system) for files in columns]
        rows.append([*label.split("|"), *(interval(own, "HitRate@10") for own in found)])
    return rows


# Tables of means over seeds.

_RECALL = ("Recall@20", "Recall@40", "NDCG@100")


def variants(
    results: Results,
    names: Mapping[str, str],
    metrics: Sequence[str] = _RECALL,
    task: str = "sequential",
    head: str = "variant",
) -> Rows:
    """One row a variant, then popularity under the same conditions.

    Args:
        results: the files.
        names: labels of rows, each with the place of its figures below ``results/``; seeds are
            found by themselves.
        metrics: one column each, mean and standard deviation over seeds.
        task: which task's figures.
        head: what the rows are.
    """
    rows = [[head, *metrics, "seeds", *_EFFORT]]
    for label, name in names.items():
        own = results.of(name, task)
        seeds = str(own["file"].n_unique())
        cells = [*(spread(own, m) for m in metrics), seeds, *effort(own)] if len(own) else [NOT_RUN]
        rows.append([label, *cells])
    found = (results.of(name, task, "Popularity") for name in names.values())
    beside = next((own for own in found if len(own)), None)
    if beside is None:
        return [*rows, ["popularity", NOT_RUN]]
    # It draws nothing but the order of ties, so that seeds tell nothing about it.
    one = _first_file(beside)
    cells = ["", "", "", rate(one), units(one)]
    return [*rows, ["popularity", *(spread(one, m) for m in metrics), *cells]]


def by_groups(
    results: Results, by: str, names: Mapping[str, str], task: str = "sequential"
) -> Rows:
    """HitRate@10 / NDCG@10 of groups of users, one column a group, beside popularity and guessing.

    Args:
        results: the files.
        by: what makes the groups.
        names: labels of rows, each with the place of its figures below ``results/``.
        task: which task's figures.
    """
    found = {label: results.read(name) for label, name in names.items()}
    measured = {label: each["results"][task] for label, each in found.items() if each}
    if not measured:
        return [["model"], [NOT_RUN]]
    own = {label: next(iter(each.values()))["groups"][by] for label, each in measured.items()}
    first, beside = next(iter(own.values())), next(iter(measured.values())).get("Popularity")
    body = [[label, *map(_accuracy_of, own[label])] if label in own else [label] for label in names]
    if beside:
        body.append(["popularity", *map(_accuracy_of, beside["groups"][by])])
    if any(group["chance"] for group in first):
        guessed = [_pair(group["chance"].get) if group["chance"] else "" for group in first]
        body.append(["guessing", *guessed])
    users = ["users", *(f"{group['num_users']:,}" for group in first)]
    return [["model", *(group["name"] for group in first)], *body, users]


def _accuracy_of(group: Mapping[str, Any]) -> str:
    return _pair(lambda name: group["metrics"][name]["mean"])


def _pair(value: Callable[[str], Any]) -> str:
    return " / ".join(f"{value(name):.4f}" for name in ("HitRate@10", "NDCG@10"))


def ties(results: Results, names: Mapping[str, str], shuffles: int) -> Rows:
    """NDCG@10 as the source orders rows of one day, and the mean of several shuffles of these.

    Args:
        results: the files.
        names: labels of rows, each with the place of its figures below ``results/``.
        shuffles: how many there are.
    """
    head = ["data", "protocol", "method", "as given (95 % interval)", "shuffled", "popularity"]
    rows: Rows = [[*head, "users"]]
    for label, name in names.items():
        place, at, protocol = name.partition("@")
        given = results.of(name, "sequential")
        each = [
            results.of(f"{place}-shuffled-{n}{at}{protocol}", "sequential") for n in range(shuffles)
        ]
        beside = results.of(name, "sequential", "Popularity")
        shuffled = pl.concat(each)
        cells = [NOT_RUN]
        if len(given) and len(shuffled):
            means = [spread(shuffled, "NDCG@10"), spread(beside, "NDCG@10")]
            cells = [interval(given, "NDCG@10"), *means, units(given)]
        rows.append([*label.split("|"), *cells])
    return rows


def pretraining(results: Results, names: Mapping[str, str]) -> Rows:
    """Figures after fine-tuning, beside the losses that pre-training ended with."""
    head, *rows = variants(results, names, head="epochs")
    losses = [_losses_before(results, name) for name in names.values()]
    joined = [[row[0], *loss, *row[1:4]] for row, loss in zip(rows, losses, strict=False)]
    return [[head[0], "loss on texts", "loss on events", *head[1:4]], *joined]


def _losses_before(results: Results, name: str) -> list[str]:
    """Validation losses of the weights that fine-tuning started from, means over seeds."""
    files = results.of(name, "sequential")["file"].unique()
    found = [run["learning"] for file in files if "learning" in (run := results.contents[file])]
    if not found:
        return [NOT_RUN, ""]
    stages = ("content", "events")
    return [f"{statistics.mean(_best(run[s]) for run in found):.3f}" for s in stages]


def _best(stage: Mapping[str, Any]) -> float:
    """Of a stage that chose its epoch by loss; older files have only such stages, and say so."""
    return stage["best_valid" if "best_valid" in stage else "best_valid_loss"]


def machines(results: Results) -> Rows:
    """What the runs were fitted and measured on; asking for all of them shows none."""
    runs = [each["run"] for each in results.contents.values() if each.get("kind") == EVALUATION]
    found = Counter(
        (
            *(str(run["machine"][name]) for name in ("processor", "cores", "threads")),
            *(str(run["versions"][name]) for name in ("python", "torch", "transformers")),
        )
        for run in runs
    )
    head = ["processor", "cores", "threads", "Python", "torch", "transformers", "result files"]
    rows = [[*key, str(count)] for key, count in sorted(found.items())]
    return [head, *(rows or [[NOT_RUN]])]


# Tables of speed, from ``make bench`` and ``benchmarks/two_processes.py``.


@dataclass(frozen=True)
class Bench:
    """A table of a benchmark: one row for each of its parts.

    Attributes:
        file: below ``results/``.
        head: over the labels of the rows.
        parts: labels by keys of the file; see ``docs/tables.toml``.
        columns: what stands below each head.
    """

    file: str
    head: str
    parts: Mapping[str, str]
    columns: Mapping[str, str]

    def __call__(self, results: Results) -> Rows:
        """The table; a part that is missing was not run."""
        found = results.read(self.file)
        rows: Rows = [[*self.head.split("|"), *self.columns]]
        for part, label in self.parts.items() if found else ():
            key, _, word = part.partition(" ")
            row = found.get(key) if found else None
            cells = [_cell(row, spec, word) for spec in self.columns.values()] if row else [NOT_RUN]
            rows.append([*(label.format(**row) if row else label).split("|"), *cells])
        return rows if found else [*rows, [NOT_RUN]]


def beside(
    results: Results,
    file: str,
    head: str,
    rows: Mapping[str, str],
    columns: Mapping[str, Sequence[str]],
) -> Rows:
    """A table of parts of a benchmark's file whose columns come from several places of it.

    Args:
        results: the committed figures.
        file: below ``results/``.
        head: over the labels of the rows.
        rows: labels by names of parts.
        columns: by their heads: keys that lead to a part, its name "{}" among them, then to a
            figure, and last its form; a further key is that of its deviation.
    """
    content = results.read(file)
    found: Rows = [[head, *columns]]
    for name, label in rows.items() if content else ():
        cells = [_at(content, name, *spec) for spec in columns.values()]
        found.append([label, *(cells if any(cells) else [NOT_RUN])])
    return found if content else [*found, [NOT_RUN]]


def _at(content: Any, name: str, place: str, form: str, deviation: str = "") -> str:
    *path, last = place.split("|")
    for key in path:
        content = (content or {}).get(name if key == "{}" else key)
    if not content or last not in content:
        return ""
    spread = f" ± {content[deviation]:{form}}" if deviation and content.get(deviation) else ""
    return f"{content[last]:{form}}{spread}"


_SCALES = {"ms": 1e3, "MB": 1e-6}


def _cell(row: Mapping[str, Any], spec: str, word: str) -> str:
    for each in spec.split():
        name, _, form = each.format(word).partition(":")
        if name in row:
            scale = _SCALES.get(form[:2])
            return f"{row[name]:{form}}" if scale is None else f"{row[name] * scale:{form[2:]}}"
    return ""


_EARLY_BATCHES = (20, 60, 100, 200)


def two_processes(results: Results) -> Rows:
    """Losses of one process and of two, early and at the end of every epoch."""
    found = results.read("two_processes")
    head = ["loss", "one process", "two processes"]
    if not found:
        return [head, [NOT_RUN]]
    one, two = found["runs"]["one"], found["runs"]["two"]
    steps = {*_EARLY_BATCHES, *(row["step"] for row in one["valid"])}
    rows = [
        [f"training, batch {step}", f"{first:.6f}", f"{second:.6f}"]
        for (step, first), (_, second) in zip(one["train_loss"], two["train_loss"], strict=True)
        if step in steps
    ]
    for first, second in zip(one["valid"], two["valid"], strict=True):
        losses = [f"{row['loss']:.6f}" for row in (first, second)]
        rows.append([f"validation, batch {first['step']}", *losses])
    return [head, *rows]


# What is written where.


def _tables() -> Iterator[tuple[str, Callable[[Results], Rows]]]:
    declared = tomllib.loads((ROOT / "docs" / "tables.toml").read_text(encoding="utf-8"))
    for name, about in declared["beside-popularity"].items():
        yield name, partial(beside_popularity, **about)
    for name, about in declared["at-a-glance"].items():
        yield name, partial(at_a_glance, **about)
    for name, rows in declared["protocols"].items():
        yield name, partial(two_protocols, names=rows)
    for name, names in declared["seeds"].items():
        yield name, partial(variants, names=names)
    for name, names in declared["pretraining"].items():
        yield name, partial(pretraining, names=names)
    for name, about in declared["groups"].items():
        yield name, partial(by_groups, **about)
    for name, about in declared["ties"].items():
        yield name, partial(ties, **about)
    for name, about in declared["bench"].items():
        yield name, Bench(**about)
    for name, about in declared["beside"].items():
        yield name, partial(beside, **about)


TABLES: dict[str, Callable[[Results], Rows]] = {
    "reviews-text": reviews_text,
    "machines": machines,
    "two-processes": two_processes,
    **dict(_tables()),
}


def is_paper_table(name: str) -> bool:
    """Whether a table of the documentation is one of a paper, such as ``elmrec/table-4``."""
    return paper_file(CONFIGS, name).is_file()


def paper_table(name: str, results: Results) -> str:
    """Data sets and tasks of which we have figures, from committed results alone."""
    layout = Layout(results=results.folder, runs=ROOT / "no-runs")
    found = results_of(layout, name)
    results.asked.update(each.file.relative_to(results.folder).as_posix() for each in found)
    return markdown_tables(compare(found, layout, [name])).strip() or NOT_RUN


def filled(text: str, results: Results) -> str:
    """A page with its tables written anew.

    Raises:
        SystemExit: it asks for a table that does not exist.
    """

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if is_paper_table(name):
            written = paper_table(name, results)
        elif name in TABLES:
            written = markdown(TABLES[name](results))
        else:
            sys.exit(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        return f"{match[1]}\n{written}\n\n{match[3]}"

    return PLACE.sub(table, text)


def markdown(rows: Rows) -> str:
    """A table whose first row is its head; first column left, the others right."""
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    body = [row + [""] * (len(head) - len(row)) for row in body]
    lines = ("|".join(f" {cell} " if cell else " " for cell in row) for row in [head, rule, *body])
    return "\n".join(f"|{line}|" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the documentation's tables from results.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on differences")
    check = parser.parse_args().check
    results = Results(ROOT / "results")
    stale: list[str] = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        old = page.read_text(encoding="utf-8")
        new = filled(old, results)
        if new != old:
            stale.append(page.relative_to(ROOT).as_posix())
            if not check:
                write_text(page, new)
    if unshown := results.unasked():
        sys.exit(f"no table shows results/{', results/'.join(unshown)}: add one")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not up to date; run python docs/write_tables.py")
    print(f"written: {', '.join(stale)}" if stale else "up to date")


if __name__ == "__main__":
    main()
