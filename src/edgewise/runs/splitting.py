"""The split of a run, as its protocol makes it."""

from __future__ import annotations

from edgewise.configuration import check
from edgewise.data.interactions import Dataset
from edgewise.data.split import Split
from edgewise.evaluation.applying import split_under
from edgewise.evaluation.protocols import Protocol
from edgewise.runs.info import RunInfo
from edgewise.runs.methods import MethodConfig, setting


def split_of(info: RunInfo, dataset: Dataset) -> Split:
    """The very split that a run is fitted on and measured with.

    Raises:
        ConfigError: the protocol does not allow the split or a setting of the run.
        DataError: the data set is not as the protocol asks.
    """
    check_settings(info.protocol, info.config)
    return split_under(info.protocol, dataset, info.split_kind, info.split_seed)


def check_settings(protocol: Protocol, config: MethodConfig) -> None:
    """Refuse settings by which a model would read more than its protocol shows.

    Raises:
        ConfigError: texts are to be dealt at random under a protocol that keeps them in their part.
    """
    dealt = setting(config, "prompts.explanations", "interaction") == "random"
    check(
        not dealt or protocol.explanation_rows != "own part",
        f"prompts.explanations = 'random' trains on texts of the test part, which the protocol "
        f"{protocol.name} keeps out: leave it out, or name --protocol elmrec-released",
    )
