"""All cells of a table, on commands that do in no time what the real ones leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.experiments.grid import find_cells
from edgewise.experiments.runner import Commands, StepError, plan_work, reproduce
from edgewise.runs.run import FINISHED, DataInfo, RunInfo, read_info
from edgewise.runs.spec import read_recipe, resolve_config

USERS = {"HitRate@10": [0.0, 1.0], "NDCG@10": [0.0, 0.5]}


@pytest.fixture
def shop_floor(layout, write_config, write_result, monkeypatch):
    """Two rows of two seeds; ``broken`` names what fails. Gives the commands that were run."""
    text = 'preset = "tiny"\nseeds = [0, 1]\n'
    write_config("t/shop/a", text)
    write_config("t/shop/b", f"{text}[training]\nepochs = 3\n")
    called: list[list[str]] = []
    broken: set[str] = set()

    def fit(words: list[str]) -> None:
        out = Path(words[words.index("--out") + 1])
        if "--resume" in words:
            info = read_info(out)
        else:
            config = words[words.index("--config") + 1]
            assignments = [words[words.index("--set") + 1]]
            data = DataInfo(words[words.index("--data") + 1], "shop", "a" * 64)
            info = RunInfo(resolve_config(None, config, assignments), data)
            assert read_recipe(config).preset == "tiny"
        info = RunInfo(info.config, info.data, status=FINISHED)
        info.write(out)

    def run(self: Commands, words: list[str], log: Path) -> None:
        called.append(list(words))
        if words[0] in broken or any(name in word for name in broken for word in words[:2]):
            raise StepError(f"{words[0]} broke")
        if words[0] == "data":
            Path(words[-1]).mkdir(parents=True)
        elif words[0] == "fit":
            fit(words)
        else:
            place = Path(words[-1]).relative_to(layout.results).with_suffix("").as_posix()
            config = read_info(Path(words[1])).config
            changes = [f"training.epochs={config.training.epochs}"]
            write_result(place, USERS, changes=changes)

    monkeypatch.setattr(Commands, "run", run)
    return called, broken


def make(layout, **options):
    work = plan_work(find_cells(layout, ["t"]), layout)
    return reproduce(work, layout, **options)


def test_everything_once_and_then_nothing(layout, shop_floor):
    called, _ = shop_floor
    steps: list[tuple[str, str]] = []
    outcome = make(layout, on_step=lambda cell, step: steps.append((cell.place.name, step)))
    assert [cell.place.name for cell in outcome.done] == [
        "a-seed0",
        "a-seed1",
        "b-seed0",
        "b-seed1",
    ]
    assert [words[0] for words in called] == ["data", *["fit", "evaluate"] * 4]
    assert steps[:4] == [("a-seed0", s) for s in ("import", "fit", "evaluate", "finished")]
    again = make(layout)
    assert len(again.skipped) == 4 and len(called) == 9 and not again.done


def test_several_at_a_time_import_once(layout, shop_floor):
    called, _ = shop_floor
    assert len(make(layout, jobs=4).done) == 4
    assert [words[0] for words in called].count("data") == 1


def test_a_cell_that_fails_stops_no_other_and_is_tried_again(layout, shop_floor):
    called, broken = shop_floor
    broken.add("runs/t/shop/a-seed1")
    outcome = make(layout)
    assert {cell.place.name: why for cell, why in outcome.failed.items()} == {
        "a-seed1": "evaluate broke"
    }
    assert len(outcome.done) == 3
    broken.clear()
    called.clear()
    assert [cell.place.name for cell in make(layout).done] == ["a-seed1"]
    assert [words[0] for words in called] == ["evaluate"]


def test_a_data_set_that_cannot_be_imported_fails_its_cells(layout, shop_floor):
    shop_floor[1].add("data")
    assert len(make(layout).failed) == 4


def test_an_interrupted_run_is_resumed(layout, shop_floor):
    called, _ = shop_floor
    make(layout)
    (layout.results / "t/shop/a-seed0.json").unlink()
    run = layout.runs / "t/shop/a-seed0"
    info = read_info(run)
    RunInfo(info.config, info.data, status="training").write(run)
    called.clear()
    make(layout)
    assert called[0] == ["fit", "elmrec", "--resume", "--out", str(run)]
    assert [words[0] for words in called] == ["fit", "evaluate"]


def test_a_run_of_other_settings_stays_unless_forced(layout, shop_floor, write_config):
    called, _ = shop_floor
    make(layout)
    write_config("t/shop/a", 'preset = "tiny"\nseeds = [0, 1]\n[training]\nepochs = 4\n')
    outcome = make(layout)
    assert len(outcome.failed) == 2
    assert "training.epochs (10, now 4)" in next(iter(outcome.failed.values()))
    assert "--force" in next(iter(outcome.failed.values()))
    called.clear()
    assert len(make(layout, force=True).done) == 2
    assert all("--force" in words for words in called if words[0] == "fit")


def test_ctrl_c_stops_the_commands_and_is_passed_on(layout, shop_floor, monkeypatch):
    stopped: list[bool] = []
    monkeypatch.setattr(Commands, "stop", lambda self: stopped.append(True))

    def interrupted(self: Commands, words: list[str], log: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Commands, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(layout)
    assert stopped == [True]
