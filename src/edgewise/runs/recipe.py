"""A configuration file that tells everything about a row of a table, beside the method's settings.

.. code-block:: toml

    method = "graph-gpt"       # elmrec if absent
    preset = "cpu"
    protocol = "honest"        # the default; see docs/protocols.md
    split = "ratio"            # the protocol's own if absent
    seeds = [0, 1, 2]          # one run each; a single run with the settings' own seed if absent
    protocols = ["honest"]     # in experiments: one run each, instead of `protocol`

    [data]                     # how the data set is imported
    min_rating = 4
    k_core = 5

    [evaluation]
    ks = [20, 40, 100]

All other keys are the method's own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from edgewise.configuration import check, read_toml, updated
from edgewise.evaluation.protocols import find_protocol
from edgewise.runs.methods import find_method


@dataclass(frozen=True)
class DataRecipe:
    """How ``edgewise data import`` makes the data set; options that are None are left out.

    Attributes:
        source: a folder or file among the raw data, where it is not called as the data set is.
        format, min_rating, duplicates, max_users, k_core, item_numbers, seed: options of the
            import.
    """

    source: str | None = None
    format: str | None = None
    min_rating: float | None = None
    duplicates: str | None = None
    max_users: int | None = None
    k_core: int | None = None
    item_numbers: str | None = None
    seed: int | None = None

    def options(self) -> dict[str, Any]:
        """Options of the import that differ from its own defaults."""
        given = asdict(self)
        del given["source"]
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class EvaluationRecipe:
    """How ``edgewise evaluate`` measures; what is empty or None is left to its defaults.

    Attributes:
        tasks, metrics, ks: what to measure.
        max_users, negatives: options of the same names.
    """

    tasks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    ks: tuple[int, ...] = ()
    max_users: int | None = None
    negatives: int | None = None


@dataclass(frozen=True)
class Recipe:
    """A configuration file, read.

    Attributes:
        method: by name, None where the file says nothing.
        preset: of the method.
        protocol: under which the row is fitted and measured, see
            :mod:`edgewise.evaluation.protocols`; ``honest`` where it is None.
        edge_share: of the protocol, where it has one.
        split, split_seed: how rows are held out.
        seeds: of the runs that the row is the mean of.
        protocols: under each of which the row is wanted.
        kind: ``run``, a fitted and measured model; ``data``, statistics of the data set; or
            ``vectors``, whole-word vectors of the train graph, drawn and measured.
        rounds: of propagation, after which vectors are looked at.
        data, evaluation: before and after training.
        settings: the method's own, nested as its configuration is.
    """

    method: str | None = None
    preset: str | None = None
    protocol: str | None = None
    edge_share: float | None = None
    split: str | None = None
    split_seed: int | None = None
    seeds: tuple[int, ...] = ()
    protocols: tuple[str, ...] = ()
    kind: Literal["run", "data", "vectors"] = "run"
    rounds: tuple[int, ...] = ()
    data: DataRecipe = field(default_factory=DataRecipe)
    evaluation: EvaluationRecipe = field(default_factory=EvaluationRecipe)
    settings: Mapping[str, Any] = field(default_factory=dict)


_OWN = [each.name for each in fields(Recipe) if each.name != "settings"]


def read_recipe(file: str | Path) -> Recipe:
    """Read a configuration file; the method's own settings are checked by the method.

    Raises:
        ConfigError: it cannot be read, or a key of its own is wrong.
    """
    values = read_toml(file)
    own = {name: values.pop(name) for name in _OWN if name in values}
    recipe = updated(Recipe(settings=values), own, where=f"{file}: ")
    if recipe.method is not None:
        find_method(recipe.method, f"{file}: ")
    if recipe.protocol is not None:
        find_protocol(recipe.protocol, f"{file}: ", edge_share=recipe.edge_share)
    repeated = len(set(recipe.seeds)) < len(recipe.seeds)
    check(not repeated, f"{file}: seeds = {list(recipe.seeds)} names a seed twice")
    both = bool(recipe.seeds) and "seed" in values
    check(not both, f"{file}: seed and seeds contradict each other: keep one")
    either = recipe.protocol is None or not recipe.protocols
    check(either, f"{file}: protocol and protocols contradict each other: keep one")
    drawn = recipe.kind != "vectors" or bool(recipe.rounds)
    check(drawn, f'{file}: kind = "vectors" needs rounds, for example rounds = [1, 3]')
    return recipe
