"""Protocols as runs and reports record them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgewise.configuration import check
from edgewise.evaluation.protocols import HONEST, PROTOCOLS, Protocol, find_protocol


def recorded_protocol(values: Mapping[str, Any] | None) -> Protocol:
    """The protocol that a run or report names; honest where it is older than protocols are.

    Its version is the recorded one, which :func:`check_version` compares with today's.

    Raises:
        ConfigError: there is no such protocol.
    """
    if values is None:
        return HONEST
    found = find_protocol(values["name"], edge_share=values.get("edge_share"))
    return replace(found, version=values["version"])


def check_version(protocol: Protocol, where: str) -> None:
    """Refuse a protocol that was recorded when it meant something else.

    Raises:
        ConfigError: this edgewise has another version of it.
    """
    today = PROTOCOLS[protocol.name].version
    check(
        protocol.version == today,
        f"{where}: fitted under {protocol.title}, but this edgewise measures by version {today} "
        "of it; fit again, or measure with the edgewise that fitted it",
    )
