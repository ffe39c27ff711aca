"""The figures about a data set, worked by hand."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.describe import DAY, describe, plot
from edgewise.data.filters import Filters
from edgewise.data.importing import ImportOptions, read_dataset
from edgewise.errors import ConfigError


def make_dataset(pairs: list[tuple[int, int]], times: list[int] | None = None) -> Dataset:
    users, items = (np.array(side, np.int32) for side in zip(*pairs, strict=True))
    stamps = None if times is None else np.array(times)
    names = [Vocabulary(tuple(f"x{n}" for n in range(side.max() + 1))) for side in (users, items)]
    rows = Interactions(users, items, stamps)
    return Dataset("hand", *names, rows, Catalog.empty(len(names[1])))


# User 0 has four rows, user 1 three, user 2 two; item 0 is in five rows, item 1 in two.
PAIRS = [(0, 0), (0, 1), (0, 0), (0, 2), (1, 0), (1, 3), (1, 1), (2, 0), (2, 0)]
TIMES = [0, 10, DAY - 1, DAY, 5, DAY + 5, DAY + 6, 3 * DAY - 1, 3 * DAY]


def test_hand_worked_figures() -> None:
    found = describe(make_dataset(PAIRS, TIMES))
    assert (found.interactions, found.users, found.items) == (9, 3, 4)
    # Distinct pairs: 3 of user 0, 3 of user 1, 1 of user 2.
    assert found.density == 7 / 12
    assert found.duplicates == 2
    assert found.history_lengths == {
        "min": 2,
        "25%": 2,
        "median": 3,
        "75%": 4,
        "95%": 4,
        "max": 4,
        "mean": 3,
    }
    # Of six consecutive pairs, (0, 10), (10, DAY-1) and (DAY+5, DAY+6) share a day.
    assert found.same_day_ties == 3 / 6
    # Items 1, 2, 3 have fewer than five rows; train is rows 0, 1 of user 0, row 0 of user 1 and
    # both rows of user 2, so items 2 and 3 never occur in it.
    assert found.cold_items == 3
    assert found.items_never_in_train == 2
    assert found.top_1_percent == found.top_10_percent == 5 / 9
    assert found.has_times
    assert not found.has_ratings


def test_without_times() -> None:
    assert describe(make_dataset(PAIRS)).same_day_ties is None
    assert describe(make_dataset([(0, 0), (1, 0)], [1, 1])).same_day_ties is None


def test_days_before_1970() -> None:
    assert describe(make_dataset([(0, 0), (0, 1)], [-1, 1])).same_day_ties == 0


def test_never_in_train_equals_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    pairs = sorted((int(u), int(i)) for u, i in rng.integers(0, 40, (200, 2)))
    dataset = make_dataset(pairs)
    by_user: dict[int, list[int]] = {}
    for user, item in pairs:
        by_user.setdefault(user, []).append(item)
    train = {i for row in by_user.values() for i in (row[:-2] if len(row) > 2 else row)}
    missing = {item for _, item in pairs} - train
    assert missing
    assert describe(dataset).items_never_in_train == len(missing)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    plot(make_dataset(PAIRS), tmp_path / f"figure.{ending}")
    assert [path.name for path in tmp_path.iterdir()] == [f"figure.{ending}"]
    start = (tmp_path / f"figure.{ending}").read_bytes()[:40]
    assert start.startswith(b"\x89PNG" if ending == "png" else b"<?xml")


def test_plot_of_an_unknown_kind(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigError, match=r"the name must end in \.png"):
        plot(make_dataset(PAIRS), tmp_path / "figure.doc")
    assert not list(tmp_path.iterdir())


def test_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *rest, **named):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ConfigError, match=r"pip install 'edgewise\[plots\]'"):
        plot(make_dataset(PAIRS), tmp_path / "figure.png")


def test_real_gift_cards(real_data: Path) -> None:
    options = ImportOptions(filters=Filters(duplicates="keep"))
    found = describe(read_dataset(real_data / "gift_cards", options))
    assert found.duplicates == 2_972 - 2_965
    assert found.titled_items == 148
    assert found.same_day_ties is not None
    assert found.same_day_ties > 0.3
    assert found.has_reviews
