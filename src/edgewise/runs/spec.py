"""A run as it was asked for, resolved once: method, settings, data, protocol and split.

The command line and ``reproduce`` make one :class:`RunSpec`; everything below only passes it on.
A file may say part of it:

.. code-block:: toml

    method = "graph-gpt"       # the command's own if absent
    preset = "cpu"
    protocol = "honest"        # the default; see docs/protocols.md
    split = "ratio"            # the protocol's own if absent

    [backbone]                 # all other keys are the method's settings
    dropout = 0.4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.config import (
    MethodConfig,
    check,
    check_seed,
    differences,
    read_toml,
    updated,
    with_overrides,
)
from edgewise.errors import DataError
from edgewise.evaluation.protocols import HONEST, Protocol, find_protocol
from edgewise.models.registry import DEFAULT_METHOD, Method, find_method
from edgewise.recommender import DEFAULT_PRESET

if TYPE_CHECKING:
    from edgewise.data.dataset import Dataset
    from edgewise.data.splits import Split


@dataclass(frozen=True)
class DataInfo:
    """A data set: its folder as it was given, its name and its content's checksum."""

    folder: str
    name: str
    checksum: str

    @classmethod
    def of(cls, dataset: Dataset, folder: str | Path) -> DataInfo:
        return cls(str(folder), dataset.name, dataset.checksum)

    def state_of(self, dataset: Dataset, folder: str | Path) -> Dataset:
        """The data set as it was when it had this checksum; itself where it has not grown since.

        Raises:
            DataError: it never was, or was altered.
        """
        if dataset.checksum == self.checksum:
            return dataset
        if self.checksum in (state.checksum for state in dataset.grown_from):
            return dataset.earlier(self.checksum)
        raise DataError(
            f"{folder}: not the data the run was fitted on ({self.name!r}, checksum "
            f"{self.checksum[:12]}): it was altered or is another data set. Give the original "
            "with --data, or fit again; new rows keep a run usable where they are added to its "
            "data with 'edgewise data append'"
        )


@dataclass(frozen=True)
class StartInfo:
    """The run whose model a training starts from.

    Attributes:
        folder: of the run.
        checksum: of its model.
        share: what its weights count; the rest is a fresh start.
    """

    folder: str
    checksum: str
    share: float = 1.0


@dataclass(frozen=True)
class RunSpec:
    """What is to be trained, on what, under which conditions.

    Attributes:
        method_name: see :mod:`edgewise.models.registry`.
        config: all settings of the method, seed included.
        data: the data set.
        protocol: under which it is fitted and measured.
        split_kind, split_seed: how rows are held out.
        command: the command line that asked for it.
        cold_share: of the items, kept out of training.
        started_from: another run, whose weights are gone on from; None = from scratch.
    """

    method_name: str
    config: MethodConfig
    data: DataInfo
    protocol: Protocol = HONEST
    split_kind: str = "leave-one-out"
    split_seed: int = 0
    command: str = ""
    cold_share: float = 0.0
    started_from: StartInfo | None = None

    def __repr__(self) -> str:
        return (
            f"RunSpec({self.method_name} on {self.data.name}, {self.split_kind}, "
            f"{self.protocol.title}, {self.config!r})"
        )

    @property
    def method(self) -> Method:
        """The method that is fitted."""
        return find_method(self.method_name)

    def split(self, dataset: Dataset) -> Split:
        """The parts of its data set, with the edges and texts of its protocol.

        Raises:
            ConfigError: the protocol does not allow the split or a setting.
            DataError: the data set is not as the protocol asks.
        """
        from edgewise.evaluation.protocols import split_under

        check_settings(self.protocol, self.config)
        return split_under(
            self.protocol, dataset, self.split_kind, self.split_seed, self.cold_share
        )

    def changes(self, asked: RunSpec) -> list[str]:
        """What another specification asks for that this one does not, as people type it."""
        found = differences(self.config, asked.config)
        pairs = (
            ("--split", self.split_kind, asked.split_kind),
            ("--split-seed", self.split_seed, asked.split_seed),
            ("--cold-items", self.cold_share, asked.cold_share),
            ("--protocol", self.protocol.to_dict(), asked.protocol.to_dict()),
        )
        return found + [f"{name} ({old}, now {new})" for name, old, new in pairs if old != new]


@dataclass(frozen=True)
class Wanted:
    """What a command line or a file says of a run; None where it says nothing.

    Attributes:
        method: by name.
        preset: of the method.
        protocol, edge_share: see :mod:`edgewise.evaluation.protocols`.
        split, split_seed: how rows are held out.
        cold_items: share of the items that are kept out of training.
        settings: the method's own, nested as its configuration is.
    """

    method: str | None = None
    preset: str | None = None
    protocol: str | None = None
    edge_share: float | None = None
    split: str | None = None
    split_seed: int | None = None
    cold_items: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


_KEYS = {each.name for each in fields(Wanted)} - {"settings"}
_KINDS = {"edge_share": (int, float), "split_seed": (int,), "cold_items": (int, float)}


def read_wanted(file: str | Path) -> Wanted:
    """What a TOML file says; the method's own settings are checked by the method.

    Raises:
        ConfigError: it cannot be read, or a key of its own is wrong.
    """
    return wanted_from(read_toml(file), f"{file}: ")


def wanted_from(values: Mapping[str, Any], where: str) -> Wanted:
    """The same from values that have been read.

    Args:
        values: nested as the file is.
        where: prefix for messages.
    """
    own = {key: value for key, value in values.items() if key in _KEYS}
    for key, value in own.items():
        kinds = _KINDS.get(key, (str,))
        right = isinstance(value, kinds) and not isinstance(value, bool)
        check(right, f"{where}{key} = {value!r}: {kinds[-1].__name__} is wanted")
    settings = {key: value for key, value in values.items() if key not in _KEYS}
    wanted = Wanted(**own, settings=settings)
    if wanted.method is not None:
        find_method(wanted.method, where)
    if wanted.protocol is not None:
        find_protocol(wanted.protocol, where, edge_share=wanted.edge_share)
    return wanted


def resolve_config(
    method: Method,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    *,
    base: MethodConfig | None = None,
    where: str = "",
) -> MethodConfig:
    """A preset, changed by a file, changed by single settings.

    Args:
        method: whose settings they are.
        preset: by name; ``cpu`` if it is None.
        settings: of a file, nested.
        assignments: ``section.key=value``.
        base: stands in for the preset where none is named.
        where: prefix for messages about ``settings``.

    Raises:
        ConfigError: an unknown preset, key or value, with the nearest valid one.
    """
    named = base is None or preset is not None
    start = method.preset_config(preset or DEFAULT_PRESET) if named else base
    assert start is not None
    return with_overrides(updated(start, settings or {}, where), assignments)


def resolve_spec(
    options: Wanted,
    assignments: Sequence[str] = (),
    *,
    file: str | Path | None = None,
    base: RunSpec | None = None,
    data: DataInfo | None = None,
    command: str = "",
) -> RunSpec:
    """One specification from what the command line says and what a file says.

    Args:
        options: of the command line.
        assignments: ``section.key=value``, before preset and file.
        file: read once, here.
        base: the run that is gone on with; its values stand where nobody says otherwise.
        data: the data set; the base's if None.
        command: for the records.

    Raises:
        ConfigError: an unknown method, preset, protocol, key or value, with the nearest valid one;
            or a file that contradicts the command line.
    """
    told = Wanted() if file is None else read_wanted(file)
    agreed = _agreed(options, told, file)
    method = find_method(agreed.method or (base.method_name if base else DEFAULT_METHOD))
    config = resolve_config(
        method,
        agreed.preset,
        told.settings,
        assignments,
        base=base.config if base else None,
        where=f"{file}: ",
    )
    protocol = _protocol(options, told) or (base.protocol if base else HONEST)
    data = data or (base.data if base else None)
    assert data is not None, "a new run needs a data set"
    fallback = (base.split_kind, base.split_seed) if base else (protocol.split_kind, 0)
    kind, seed = agreed.split or fallback[0], agreed.split_seed
    seed = fallback[1] if seed is None else seed
    check_seed(seed, "split_seed" if options.split_seed is None else "--split-seed")
    share = (base.cold_share if base else 0.0) if agreed.cold_items is None else agreed.cold_items
    check(0 <= share < 1, f"--cold-items {share:g}: a share between 0 and 1 is wanted")
    check(
        not share or protocol.is_honest,
        f"--cold-items needs a protocol that does not leak, such as honest: {protocol.name} shows "
        "rows of items that are to be cold",
    )
    start = base.started_from if base else None
    return RunSpec(method.name, config, data, protocol, kind, seed, command, float(share), start)


def check_settings(protocol: Protocol, config: MethodConfig) -> None:
    """Refuse settings by which a model would read more than its protocol shows.

    Raises:
        ConfigError: texts are to be dealt at random under a protocol that keeps them in their part.
    """
    dealt = setting_of(config, "prompts.explanations", "interaction") == "random"
    check(
        not dealt or protocol.explanation_rows != "own part",
        f"prompts.explanations = 'random' trains on texts of the test part, which the protocol "
        f"{protocol.name} keeps out: leave it out, or name --protocol elmrec-released",
    )


def setting_of(config: MethodConfig, path: str, default: Any) -> Any:
    """A setting that some methods have, by ``section.key``; the default where this one has not."""
    place: Any = config
    for name in path.split("."):
        if not hasattr(place, name):
            return default
        place = getattr(place, name)
    return place


def _agreed(options: Wanted, told: Wanted, file: object) -> Wanted:
    """The command line's values, else the file's; both may say the same."""
    spelled = {"method": "fit {}", "preset": "--preset {}", "split": "--split {}"}
    spelled |= {"split_seed": "--split-seed {}", "cold_items": "--cold-items {}"}
    values: dict[str, Any] = {}
    for name, words in spelled.items():
        asked, in_file = getattr(options, name), getattr(told, name)
        agree = asked is None or in_file is None or asked == in_file
        option = words.format(asked)
        check(agree, f"{option} contradicts {name} = {in_file!r} in {file}: give one")
        values[name] = in_file if asked is None else asked
    return replace(options, **values)


def _protocol(options: Wanted, told: Wanted) -> Protocol | None:
    """Of the command line, which goes before the file's; None where neither names one."""
    name = options.protocol or told.protocol
    if name is None:
        check(options.edge_share is None, "--edge-share needs --protocol, say elmrec-released")
        return None
    found = find_protocol(name, "--protocol: ")
    in_file = told.edge_share if found.has_edge_share else None
    share = in_file if options.edge_share is None else options.edge_share
    return find_protocol(name, "--edge-share: ", edge_share=share)
