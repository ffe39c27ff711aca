"""Whether a data set is what the protocol asks for."""

from __future__ import annotations

from edgewise.audit.findings import Finding, Subject
from edgewise.data.interactions import Dataset
from edgewise.errors import DataError
from edgewise.evaluation.applying import check_data
from edgewise.evaluation.protocols import Protocol

_ASKED = Subject("data-as-asked", "ids")


def data_as_asked(dataset: Dataset, protocol: Protocol) -> Finding:
    """Item numbers and filters of the data set, against those of the protocol.

    ``fit`` refuses other data. An audit looks at them all the same: it is there to say what leaks,
    and how much.
    """
    try:
        check_data(protocol, dataset)
    except DataError as error:
        return _ASKED.warning(
            str(error), repair="import the data set as the protocol asks, or name another protocol"
        )
    return _ASKED.ok(f"item numbers and filters are those of {protocol.title}")
