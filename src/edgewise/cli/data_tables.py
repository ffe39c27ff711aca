"""What the ``edgewise data`` commands print."""

from __future__ import annotations

from rich.table import Table

from edgewise.data.info import DatasetInfo
from edgewise.data.interactions import Dataset


def import_table(dataset: Dataset) -> Table:
    """What was read, left out and kept."""
    source = dataset.source
    table = Table("step", "rows", "users", "items", title=f"{dataset.name} ({source['format']})")
    table.add_row("read", f"{source['rows_read']:,}", "", "")
    for kind, count in source["bad_rows"].items():  # pyright: ignore[reportAttributeAccessIssue]
        table.add_row(f"left out: {kind}", f"{count:,}", "", "")
    for step in source["filters"]:  # pyright: ignore[reportGeneralTypeIssues]
        sizes = (f"{step['after'][key]:,}" for key in ("rows", "users", "items"))
        table.add_row(f"{step['name']} {step['setting']}", *sizes)
    kept = (len(dataset.interactions), dataset.num_users, dataset.num_items)
    table.add_row("kept", *(f"{count:,}" for count in kept))
    return table


def info_table(found: DatasetInfo) -> Table:
    """The figures of a data set, one a line."""
    table = Table("figure", "value", title=found.name)
    lengths = ", ".join(f"{key} {value:g}" for key, value in found.history_lengths.items())
    ties = "no times" if found.same_day_ties is None else f"{found.same_day_ties:.1%}"
    lines = {
        "interactions": f"{found.interactions:,}",
        "users": f"{found.users:,}",
        "items": f"{found.items:,}",
        "density": f"{found.density:.4%}",
        "history length": lengths,
        "same-day ties": ties,
        "duplicate rows": f"{found.duplicates:,}",
        "cold items (fewer than 5 rows)": f"{found.cold_items:,}",
        "items never in leave-one-out train": f"{found.items_never_in_train:,}",
        "rows on the top 1 % of items": f"{found.top_1_percent:.1%}",
        "rows on the top 10 % of items": f"{found.top_10_percent:.1%}",
        "items with a title": f"{found.titled_items:,}",
        "columns": ", ".join(_columns(found)),
    }
    for figure, value in lines.items():
        table.add_row(figure, value)
    return table


def _columns(found: DatasetInfo) -> list[str]:
    has = {"time": found.has_times, "rating": found.has_ratings, "review": found.has_reviews}
    return ["user", "item", *(name for name, there in has.items() if there)]
