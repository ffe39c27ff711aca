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

From a preset, a file and single settings to one configuration, and back to a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from edgewise.config import check, read_toml, to_dict, updated, with_overrides
from edgewise.evaluation.protocols import find_protocol
from edgewise.models.registry import DEFAULT_METHOD, MethodConfig, find_method


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


DEFAULT_PRESET = "cpu"
_ABSENT = "absent"


def resolve_config(
    preset_name: str | None = None,
    file: str | Path | None = None,
    assignments: Sequence[str] = (),
    base: MethodConfig | None = None,
    method: str | None = None,
) -> MethodConfig:
    """A preset, changed by a file, changed by single settings.

    Args:
        preset_name: of the method; ``cpu`` if neither this nor the file names one.
        file: TOML with the sections of the method's configuration and, if wanted, what
            :mod:`edgewise.runs.spec` reads.
        assignments: ``section.key=value``.
        base: stands in for the default preset.
        method: by name; the file's, or ``elmrec``, where it is None.

    Raises:
        ConfigError: an unknown method, preset, key or value, with the nearest valid one; or a file
            that contradicts the preset or the method.
    """
    recipe = Recipe() if file is None else read_recipe(file)
    chosen = _agreed(preset_name, recipe.preset, f"--preset {preset_name}", "preset", file)
    named = _agreed(method, recipe.method, f"fit {method}", "method", file)
    if chosen is None and base is not None:
        start = base
    else:
        start = find_method(named or DEFAULT_METHOD).preset_config(chosen or DEFAULT_PRESET)
    config = updated(start, recipe.settings, where=f"{file}: ")
    return with_overrides(config, assignments)


def to_toml(config: MethodConfig, method: str | None = None) -> str:
    """The whole configuration as a file that :func:`resolve_config` reads back to the same."""
    head = [] if method is None else [f"method = {_spelled(method)}"]
    return "\n".join([*head, *_lines(to_dict(config), "")]) + "\n"


def differences(old: MethodConfig, new: MethodConfig) -> list[str]:
    """Settings whose values differ, as ``section.key (old value, now new value)``."""
    before, after = flat_settings(to_dict(old)), flat_settings(to_dict(new))
    return [
        f"{key} ({_spelled(before.get(key, _ABSENT))}, now {_spelled(after.get(key, _ABSENT))})"
        for key in before | after
        if key not in before or key not in after or before[key] != after[key]
    ]


def _agreed(
    asked: str | None, in_file: str | None, option: str, key: str, file: object
) -> str | None:
    """What the command or the file says; both may say the same."""
    agree = asked is None or in_file is None or asked == in_file
    check(agree, f"{option} contradicts {key} = {in_file!r} in {file}: give one")
    return asked or in_file


def _lines(values: Mapping[str, Any], section: str) -> Iterator[str]:
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {_spelled(value)}"
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"\n[{section}{key}]"
            yield from _lines(value, f"{section}{key}.")


def _spelled(value: object) -> str:
    # TOML has no null; the configuration reads "none" as one.
    return json.dumps("none" if value is None else value, ensure_ascii=False)


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by ``section.key``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inside = isinstance(value, Mapping)
        flat |= flat_settings(value, f"{prefix}{key}.") if inside else {prefix + key: value}
    return flat
