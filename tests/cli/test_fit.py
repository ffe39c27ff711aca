"""Run folders are complete, repeatable and never overwritten by accident."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from safetensors.numpy import load_file
from tests.seals import edit

from edgewise.cli.fit import complete_methods, complete_presets, complete_settings
from edgewise.data.dataset import Dataset
from edgewise.evaluation.protocols import HONEST, find_protocol
from edgewise.runs.run import FINISHED, TRAINING, read_info
from edgewise.runs.spec import Wanted, resolve_spec

from .conftest import SMALL

WEIGHTS = "model/model.safetensors"


def words_of(result) -> str:
    """What was printed, as one line."""
    return " ".join(result.output.split())


def test_the_run_folder_tells_everything(run, shop):
    about = json.loads((run / "run.json").read_text())
    assert (about["kind"], about["method"]) == ("edgewise run", "elmrec")
    assert (about["status"], about["seed"]) == (FINISHED, 0)
    assert about["data"]["folder"] == str(shop)
    assert about["data"]["checksum"] == json.loads((shop / "dataset.json").read_text())["checksum"]
    assert about["split"] == {"kind": "leave-one-out", "seed": 0}
    assert about["training_seconds"] > 0
    assert {"torch", "transformers", "edgewise"} <= about["versions"].keys()
    assert about["machine"]["cores"] >= 1 and about["machine"]["processor"]
    assert (run / "training" / "training" / "checkpoint").is_dir()
    assert len(json.loads((run / "curves.json").read_text())["training"]["valid"]) == 2
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.parent.glob(".*.partial")) + list(run.glob("**/.*.partial"))


def test_config_toml_is_the_whole_config(run):
    spec = read_info(run).spec
    assert spec.config.training.epochs == 2 and spec.config.prompts.num_negatives == 30
    assert resolve_spec(Wanted(), file=run / "config.toml", data=spec.data).config == spec.config
    assert tomllib.loads((run / "config.toml").read_text())["graph"]["num_folds"] == 10


def test_the_plan_and_the_audit_come_first(elmrec_run):
    folder, printed = elmrec_run
    before = printed.partition("trained for")[0]
    plan = before[before.index("plan: ELMRec") :]
    for words in ("60 users", "parameters", str(folder), "leave-one-out split", "honest v1"):
        assert words in plan
    assert plan.index("parameters") < plan.index("audit: no leak in") < plan.index("train loss")
    assert f"next: edgewise evaluate {folder}" in printed


def test_the_plan_names_the_method_and_quiet_says_nothing(edgewise, fake, shop, tmp_path):
    result = edgewise("fit", "fake", "--data", shop, "--out", tmp_path / "run")
    assert "plan: Fake" in result.output and "1,234" in result.output
    words = ("preparing Fake for demo: ", "plan: Fake", "audit: no leak in", "trained for")
    places = [result.output.index(each) for each in words]
    assert places == sorted(places)
    assert "next: edgewise evaluate" in result.output
    quiet = edgewise("fit", "fake", "--data", shop, "--out", tmp_path / "run", "--force", "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_graph_gpt_tells_the_weights_of_its_priors(gpt_run):
    printed = gpt_run[1].partition("learned: Graph-attentive GPT-2")[2]
    for name in ("weight", "language model", "transitions", "texts", "trend"):
        assert f"│ {name} " in printed
    assert printed.index("│ trend ") < printed.index("trained for")


def test_graph_gpt_tells_its_plan_stage_by_stage(gpt_run):
    folder, printed = gpt_run
    config = read_info(folder).spec.config
    plan = printed.partition("trained for")[0]
    assert "plan: Graph-attentive GPT-2" in plan and "parameters" in plan
    assert all(stage in plan for stage in config.stages)
    curves = json.loads((folder / "curves.json").read_text())
    assert list(curves) == list(config.stages)
    assert all((folder / "training" / stage / "checkpoint").is_dir() for stage in config.stages)
    assert {len(stage["valid"]) for stage in curves.values()} == {1}, "epochs of every stage"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "training.epoch=3"], "'training.epoch'. Did you mean 'epochs'?"),
        (["--set", "trainin.epochs=3"], "Did you mean 'training'?"),
        (["--set", "graph.features=spektral"], "graph.features = 'spektral'. Did you mean 'spect"),
        (["--set", "training.epochs=0"], "training.epochs = 0: must be at least 1"),
        (["--set", "training.epochs"], "not of the form key=value"),
        (["--set", "graph.init_std=2"], "'graph.init_std': it is called graph.sigma now"),
        (["--preset", "tinny"], "Did you mean 'tiny'?"),
        (["--split", "leave-one"], "Did you mean 'leave-one-out'?"),
        (["--data", "no/such/folder"], "no/such/folder: no data set folder"),
        (["--config", "no-such.toml"], "no-such.toml"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    edgewise, shop, tmp_path, arguments, message
):
    out = tmp_path / "run"
    data = [] if "--data" in arguments else ["--data", shop]
    result = edgewise("fit", "elmrec", "--out", out, *data, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("attention.delta=2", "attention.delta = 2: must be below 1"),
        ("content_weight=1", "'content_weight': it is called lambda_v now"),
        ("training.embedding_rate=2", "it is called training.embedding_lr_multiplier now"),
        ("history.selection=loss", "it is called training.sequence.validation_metric now"),
        ("training.evnts.epochs=2", "Did you mean 'events'?"),
    ],
)
def test_mistakes_in_the_settings_of_graph_gpt(edgewise, shop, tmp_path, setting, message):
    out = tmp_path / "r"
    result = edgewise("fit", "graph-gpt", "--data", shop, "--out", out, "--set", setting)
    assert result.exit_code == 2 and message in result.output
    assert not out.exists()


def test_data_is_asked_for(edgewise, tmp_path):
    assert "--data is missing" in edgewise("fit", "elmrec", "--out", tmp_path / "run").output


def test_a_file_tells_the_split_and_must_not_contradict(edgewise, fake, shop, tmp_path):
    file = tmp_path / "row.toml"
    file.write_text('method = "fake"\npreset = "tiny"\nsplit = "ratio"\nsplit_seed = 3\n')

    def fit(name, *arguments, method="fake"):
        given = ("--data", shop, "--out", tmp_path / name, "--config", file, "--quiet")
        return edgewise("fit", method, *given, *arguments)

    assert fit("run").exit_code == 0
    spec = read_info(tmp_path / "run").spec
    assert (spec.method_name, spec.split_kind, spec.split_seed) == ("fake", "ratio", 3)
    assert fit("same", "--split", "ratio", "--split-seed", 3).exit_code == 0
    for arguments, method, message in (
        (["--split", "time"], "fake", "--split time contradicts split = 'ratio' in"),
        (["--split-seed", 0], "fake", "--split-seed 0 contradicts split_seed = 3 in"),
        (["--preset", "cpu"], "fake", "--preset cpu contradicts preset = 'tiny' in"),
        ([], "elmrec", "fit elmrec contradicts method = 'fake' in"),
    ):
        result = fit("other", *arguments, method=method)
        assert result.exit_code == 2 and message in words_of(result)
    assert not (tmp_path / "other").exists()


# What stands there, and what is gone on with.


def test_a_finished_run_is_not_overwritten(edgewise, run, shop):
    before = (run / "run.json").read_bytes()
    result = edgewise("fit", "elmrec", "--data", shop, "--out", run)
    assert result.exit_code == 2
    assert "a finished run is there" in result.output and "--force" in result.output
    again = edgewise("fit", "elmrec", "--out", run, "--resume")
    assert again.exit_code == 0 and "nothing to resume" in again.output
    assert (run / "run.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(edgewise, shop, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    result = edgewise("fit", "elmrec", "--data", shop, "--out", tmp_path, "--force")
    assert result.exit_code == 2 and "something else is there" in result.output
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_resume_names_what_differs(edgewise, run, shop, tmp_path):
    unfinished = _unfinished_copy(run, tmp_path)
    wanted = ("--set", "training.epochs=3", "--split", "ratio")
    result = edgewise("fit", "elmrec", "--out", unfinished, "--resume", *wanted)
    assert result.exit_code == 2
    assert "training.epochs (2, now 3), --split (leave-one-out, now ratio)" in result.output
    told = edgewise("fit", "elmrec", "--data", shop, "--out", unfinished)
    assert told.exit_code == 2 and "unfinished run is there; go on with --resume" in told.output


def test_resuming_by_another_methods_command_is_refused(edgewise, fake_run):
    for method in ("elmrec", "graph-gpt"):
        result = edgewise("fit", method, "--out", fake_run, "--resume")
        assert result.exit_code == 2
        told = f"holds a run of Fake: go on with 'edgewise fit fake --out {fake_run}"
        assert told in words_of(result)


def test_a_killed_run_resumes_to_the_same_weights(edgewise, run, shop, tmp_path):
    """Training killed at any moment goes on to the very bits of a run that nobody stopped."""
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "edgewise.cli.main", "fit", "elmrec", "--data", str(shop)]
    process = subprocess.Popen(
        [*command, "--out", str(killed), *SMALL], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    _kill_in_training(process, killed / "training" / "training" / "checkpoint")
    assert read_info(killed).status == TRAINING
    assert not (killed / "model").exists()
    resumed = edgewise("fit", "elmrec", "--data", shop, "--out", killed, "--resume", *SMALL)
    assert resumed.exit_code == 0, resumed.output
    weights = [load_file(folder / WEIGHTS) for folder in (killed, run)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        assert weight.tobytes() == weights[1][name].tobytes(), name
    curves = [json.loads((f / "curves.json").read_text())["training"] for f in (killed, run)]
    assert curves[0]["valid"] == curves[1]["valid"]


def _kill_in_training(process: subprocess.Popen, checkpoint: Path) -> None:
    """Wait for the first checkpoint, then SIGKILL; fails if the run was over before."""
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert process.poll() is None, process.stdout.read().decode()  # type: ignore[union-attr]
        assert time.monotonic() < deadline, "no checkpoint within five minutes"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _unfinished_copy(run: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(run, tmp_path / "copy"))
    edit(folder / "run.json", lambda about: about.update(status=TRAINING), seal=True)
    return folder


# Protocols.


@pytest.fixture
def fit_popular(edgewise):
    """Fit what needs no training, and give back what was asked for as the run has it."""

    def fit(data, out, *arguments):
        result = edgewise("fit", "popularity", "--data", data, "--out", out, "--quiet", *arguments)
        assert result.exit_code == 0, result.output
        return read_info(out).spec

    return fit


def test_honest_unless_asked(fit_popular, shop, tmp_path):
    assert fit_popular(shop, tmp_path / "run").protocol == HONEST
    spec = fit_popular(shop, tmp_path / "later", "--protocol", "temporal")
    assert (spec.protocol.name, spec.split_kind) == ("temporal", "time")


def test_the_file_names_the_protocol_and_the_command_line_goes_before(
    fit_popular, numbered, shop, tmp_path
):
    file = tmp_path / "row.toml"
    file.write_text('protocol = "elmrec-released"\nedge_share = 0.8\n')
    config = ("--config", file)
    spec = fit_popular(numbered, tmp_path / "as-written", *config)
    assert spec.protocol == find_protocol("elmrec-released", edge_share=0.8)
    spec = fit_popular(numbered, tmp_path / "changed", *config, "--edge-share", 0.4)
    assert spec.protocol.edge_share == 0.4
    spec = fit_popular(shop, tmp_path / "honest", *config, "--protocol", "honest")
    assert spec.protocol == HONEST


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("--protocol elmrec", "--protocol: no such protocol: 'elmrec'. Did you mean 'elmrec-rel"),
        ("--edge-share 0.8", "--edge-share needs --protocol"),
        ("--protocol honest --edge-share 0.8", "--edge-share: edge_share belongs to"),
        ("--protocol temporal --split ratio", "temporal splits by time"),
        ("--protocol elmrec-released", "--id-order source --out"),
        ("--protocol llm4rec-released", "import it again with --min-rating 4"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_file_is_written(
    edgewise, shop, tmp_path, asked, message
):
    given = ("--data", shop, "--out", tmp_path / "run")
    result = edgewise("fit", "popularity", *given, *asked.split())
    assert result.exit_code == 2 and message in words_of(result)
    assert not (tmp_path / "run").exists()


def test_source_numbers_need_the_protocol_that_leaks(edgewise, numbered, tmp_path):
    result = edgewise("fit", "elmrec", "--data", numbered, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "keeps its source's numbers" in result.output and "elmrec-released" in result.output


def test_training_warns_and_names_the_protocol(edgewise, numbered, tmp_path):
    given = ("--data", numbered, "--out", tmp_path / "run", "--protocol", "elmrec-released")
    result = edgewise("fit", "popularity", *given)
    warning = "warning: LEAKS: figures under elmrec-released v1 are too high"
    assert result.stderr.startswith(warning)
    assert "elmrec-released v1" in result.stdout


def test_resuming_under_another_protocol_is_refused(edgewise, fit_popular, numbered, tmp_path):
    out = tmp_path / "run"
    fit_popular(numbered, out, "--protocol", "elmrec-released")
    edit(out / "run.json", lambda about: about.update(status=TRAINING), seal=True)
    for asked in (["honest"], ["elmrec-released", "--edge-share", 0.8]):
        result = edgewise("fit", "popularity", "--out", out, "--resume", "--protocol", *asked)
        assert result.exit_code == 2
        assert "differ: --protocol ({'name': 'elmrec-released'" in words_of(result)
    fit_popular(numbered, out, "--resume")
    assert read_info(out).status == FINISHED


# What can be fitted.


def test_methods_are_listed(edgewise, fake):
    result = edgewise("methods")
    assert result.exit_code == 0
    for word in ("elmrec", "graph-gpt", "popularity", "fake", "arXiv 2409.19979", "A GPT-2 over"):
        assert word in result.output
    assert "edgewise settings METHOD" in result.output


def test_settings_tell_type_default_meaning_and_symbol(edgewise):
    result = edgewise("settings", "elmrec", "--search", "sigma")
    assert result.exit_code == 0
    for word in ("graph.sigma", "float", "1.0", "Standard deviation of layer 0.", "sigma, Eq. 4"):
        assert word in words_of(result)
    assert "training.epochs" not in result.output
    everything = edgewise("settings", "elmrec")
    for word in ("training.epochs", "list of", "presets: tiny, cpu", "fit elmrec --data DIR --out"):
        assert word in words_of(everything)
    gpt = edgewise("settings", "graph-gpt").output
    assert "training.predictive.embedding_lr_multiplier" in gpt and "…" not in gpt
    assert "│ 100 " in edgewise("settings", "graph-gpt", "--search", "events.epochs").output
    nothing = edgewise("settings", "elmrec", "--search", "zzz")
    assert nothing.exit_code == 2 and "--search zzz: no setting of elmrec has it" in nothing.output


def test_completion_offers_methods_presets_and_settings():
    def typed(method):
        return SimpleNamespace(params={"method": method}, args=[])

    assert [name for name, _ in complete_methods("g")][:1] == ["graph-gpt"]
    assert all(summary for _, summary in complete_methods("elm"))
    assert "cpu-stages" in list(complete_presets(typed("graph-gpt"), "cpu"))
    assert list(complete_presets(typed("elmrec"), "pod")) == ["pod", "pod-from-scratch"]
    assert ("seed=0", "Fixes every random choice of a training.") in list(
        complete_settings(typed("popularity"), "")
    )
    offered = dict(complete_settings(typed("graph-gpt"), "training.events.ep"))
    assert offered == {"training.events.epochs=100": "Passes at most."}
    assert [path for path, _ in complete_settings(typed(None), "graph.sig")] == ["graph.sigma=1.0"]
    waiting = SimpleNamespace(params={"method": None}, args=["popularity", "--data", "x"])
    assert list(complete_settings(waiting, "")) == list(complete_settings(typed("popularity"), ""))
    assert list(complete_presets(typed("elmrek"), "")) == []
    assert list(complete_settings(typed("elmrek"), "")) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(f"u{n}", f"i{n % 4}") for n in range(12)], "each of its 12 users has a single row"),
        ([(f"u{n}", "i") for n in range(12)], "has 1 item: there is nothing to rank"),
    ],
)
def test_data_with_nothing_to_learn_are_refused_before_training(edgewise, tmp_path, rows, message):
    Dataset.from_frame(pl.DataFrame(rows, ("user_id", "item_id"), orient="row")).save(
        tmp_path / "data"
    )
    result = edgewise("fit", "popularity", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert result.exit_code == 2 and message in words_of(result)
    assert not (tmp_path / "run").exists()


def test_users_who_are_not_measured_are_counted_before_training(edgewise, tmp_path):
    rows = [(f"u{n}", f"i{m}") for n in range(9) for m in range(n, n + 2 + n % 2)]
    Dataset.from_frame(pl.DataFrame(rows, ("user_id", "item_id"), orient="row")).save(
        tmp_path / "data"
    )
    result = edgewise("fit", "popularity", "--data", tmp_path / "data", "--out", tmp_path / "run")
    printed = words_of(result)
    assert result.exit_code == 0
    assert "warning: 5 of 9 users have fewer than 3 rows" in printed.partition("trained for")[0]
    assert "for 4 of 4 measured users a list of the direct task cannot hold 99" in printed
