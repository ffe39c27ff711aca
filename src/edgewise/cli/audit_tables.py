"""What ``edgewise audit`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from edgewise.audit.findings import Audit
    from edgewise.audit.tables import TableRow

_STYLES = {"ok": "green", "leak": "bold red", "warning": "yellow", "not applicable": "dim"}


def findings_table(found: Audit) -> Table:
    """One row a check, a line between groups."""
    table = Table("group", "check", "verdict", "figures", "what it means", "how to repair it")
    table.title, table.title_justify = _title(found), "left"
    groups = [finding.group for finding in found.findings]
    for number, finding in enumerate(found.findings):
        table.add_row(
            "" if groups[:number][-1:] == [finding.group] else finding.group,
            finding.check,
            f"[{_STYLES[finding.verdict]}]{finding.verdict}[/]",
            "\n".join(map(str, finding.figures)),
            finding.meaning,
            finding.repair,
            end_section=groups[number + 1 : number + 2] != [finding.group],
        )
    return table


def rows_table(rows: Sequence[TableRow], title: str) -> Table:
    """The rows of a published table that no ranking can have, with the reason."""
    table = Table("row", "why no ranking has these figures", title=title, title_justify="left")
    for row in rows:
        if row.reasons:
            table.add_row(row.label, "\n".join(row.reasons))
    return table


def _title(found: Audit) -> str:
    """What was looked at, where it was more than a table."""
    told = found.conditions
    if "data" not in told:
        return "audit"
    protocol, split = told["protocol"], told["split"]["kind"]
    return f"audit of {told['data']}: {protocol['name']} v{protocol['version']}, {split} split"
