"""All cells of a table, on workers that do in no time what the real ones leave behind."""

from __future__ import annotations

import pytest

from edgewise.experiments.grid import find_cells
from edgewise.experiments.plan import plan_work
from edgewise.experiments.runner import reproduce
from edgewise.experiments.workers import StepError, Workers
from edgewise.runs.run import FINISHED, RunInfo, read_info
from edgewise.runs.spec import DataInfo, RunSpec

USERS = {"HitRate@10": [0.0, 1.0], "NDCG@10": [0.0, 0.5]}


@pytest.fixture
def shop_floor(layout, write_config, write_result, monkeypatch):
    """Two rows of two seeds; ``broken`` names what fails.

    Gives the steps that were made, with their cells and commands.
    """
    text = 'preset = "tiny"\nseeds = [0, 1]\n'
    write_config("t/shop/a", text)
    write_config("t/shop/b", f"{text}[training]\nepochs = 3\n")
    called: list[tuple[str, str, str]] = []
    broken: set[str] = set()

    def fit(cell, run, step):
        data = DataInfo(str(layout.data_folder(cell)), "shop", "a" * 64)
        spec = read_info(run).spec if step == "resume" else RunSpec("elmrec", cell.settings, data)
        RunInfo(spec, FINISHED).write(run)

    def run(self, function, cell, layout, *more, command, log):
        step = function.__name__.partition("_")[0]
        called.append((step, cell.key.name, command))
        if broken & {step, f"{step} {cell.key.name}"}:
            raise StepError(f"{step} broke")
        if step == "import":
            layout.data_folder(cell).mkdir(parents=True)
        elif step == "fit":
            fit(cell, *more[:2])
        else:
            config = read_info(more[0]).spec.config
            write_result(
                cell.key.path, USERS, changes=[f"training.epochs={config.training.epochs}"]
            )

    monkeypatch.setattr(Workers, "run", run)
    return called, broken


def make(layout, **options):
    work = plan_work(find_cells(layout, ["t"]), layout)
    return reproduce(work, layout, **options)


def test_everything_once_and_then_nothing(layout, shop_floor):
    called, _ = shop_floor
    steps: list[tuple[str, str]] = []
    outcome = make(layout, on_step=lambda cell, step: steps.append((cell.key.name, step)))
    assert [cell.key.name for cell in outcome.done] == ["a-seed0", "a-seed1", "b-seed0", "b-seed1"]
    assert [step for step, *_ in called] == ["import", *["fit", "evaluate"] * 4]
    assert steps[:4] == [("a-seed0", s) for s in ("import", "fit", "evaluate", "finished")]
    again = make(layout)
    assert len(again.skipped) == 4 and len(called) == 9 and not again.done


def test_several_at_a_time_import_once(layout, shop_floor):
    called, _ = shop_floor
    assert len(make(layout, jobs=4).done) == 4
    assert [step for step, *_ in called].count("import") == 1


def test_a_cell_that_fails_stops_no_other_and_is_tried_again(layout, shop_floor):
    called, broken = shop_floor
    broken.add("evaluate a-seed1")
    outcome = make(layout)
    assert {cell.key.name: why for cell, why in outcome.failed.items()} == {
        "a-seed1": "evaluate broke"
    }
    assert len(outcome.done) == 3
    broken.clear()
    called.clear()
    assert [cell.key.name for cell in make(layout).done] == ["a-seed1"]
    assert [step for step, *_ in called] == ["evaluate"]


def test_a_data_set_that_cannot_be_imported_fails_its_cells(layout, shop_floor):
    shop_floor[1].add("import")
    assert len(make(layout).failed) == 4


def test_an_interrupted_run_is_resumed(layout, shop_floor):
    called, _ = shop_floor
    make(layout)
    (layout.results / "t/shop/a-seed0.json").unlink()
    run = layout.runs / "t/shop/a-seed0"
    RunInfo(read_info(run).spec, "training").write(run)
    called.clear()
    make(layout)
    assert called[0] == ("fit", "a-seed0", f"edgewise fit elmrec --resume --out {run}")
    assert [step for step, *_ in called] == ["fit", "evaluate"]


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
    assert all("--force" in command for step, _, command in called if step == "fit")


def test_ctrl_c_stops_the_workers_and_is_passed_on(layout, shop_floor, monkeypatch):
    stopped: list[bool] = []
    monkeypatch.setattr(Workers, "stop", lambda self: stopped.append(True))

    def interrupted(self, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Workers, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(layout)
    assert stopped == [True]
