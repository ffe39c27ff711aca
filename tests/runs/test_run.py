"""Run folders: ``run.json`` reads back equal, and what cannot be trusted is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from dataclasses import replace

import pytest
from tests.fake_method import FakeConfig
from tests.kills import told_files
from tests.seals import edit

from edgewise import locks
from edgewise.data.dataset import Vocabulary
from edgewise.data.interactions import Later
from edgewise.errors import ConfigError, DataError, LockedError, ModelFolderError
from edgewise.runs.audit import audit_run
from edgewise.runs.run import (
    RunInfo,
    check_free,
    is_run,
    load_run_data,
    open_run,
    prepare_folder,
    read_finished,
    read_info,
    writing_run,
)
from edgewise.runs.spec import DataInfo, RunSpec
from edgewise.runs.train import train


@pytest.fixture
def info(fake):
    data = DataInfo("data/x", "x", "0" * 64)
    config = FakeConfig(taste="rare", seed=4)
    return RunInfo(RunSpec("fake", config, data, split_kind="ratio", split_seed=2))


def changed(info, folder, **values):
    """A run whose record was changed and sealed again; None takes a field away."""

    def change(about):
        about.update(values)
        for key in [key for key, value in about.items() if value is None]:
            del about[key]

    info.write(folder)
    edit(folder / "run.json", change, seal=True)
    return folder


def test_it_reads_back_equal(info, tmp_path):
    info.write(tmp_path)
    assert read_info(tmp_path) == info
    assert read_info(tmp_path).spec.method.label == "Fake"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "fakee"}, "no such method: 'fakee'. Did you mean 'fake'"),
        ({"method": "elmrec"}, "unknown configuration key 'taste'"),
        ({"kind": "elmrec"}, "not written by this version"),
        ({"kind": "something"}, "not written by this version"),
        ({"version": 1}, "not written by this version"),
        ({"split": None}, "split is missing"),
        ({"protocol": {"name": "elmrec-patched", "version": 1}}, "no such protocol: 'elmrec-patch"),
    ],
)
def test_what_cannot_be_trusted_is_refused(info, tmp_path, values, message):
    with pytest.raises(ModelFolderError, match=message):
        read_info(changed(info, tmp_path, **values))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda about: about["split"].update(kind="ratio"), 'split.kind = "ratio"'),
        (lambda about: about["split"].update(seed=9), "split.seed = 9"),
        (lambda about: about["protocol"].update(name="temporal"), 'protocol.name = "temporal"'),
        (lambda about: about["data"].update(checksum="0" * 64), "data.checksum"),
        (lambda about: about.update(seed=9), "seed = 9"),
        (lambda about: about["config"].update(seed=9), "config.seed = 9"),
        (lambda about: about.update(method="ease"), 'method = "ease"'),
        (lambda about: about.update(seal={}), "kind = "),
        (lambda about: about.pop("seal"), "the field 'seal' is missing"),
    ],
)
def test_an_edited_run_is_refused_by_all_who_read_it(run, change, told):
    edit(run.folder / "run.json", change)
    for ask in (open_run, read_finished, audit_run):
        with pytest.raises(ModelFolderError, match=r"run\.json: .*" + re.escape(told)):
            ask(run.folder)
    with pytest.raises(ConfigError, match="a damaged run is there"):
        check_free(run.folder)


def test_a_model_of_another_run_is_refused(run, spec, data, tmp_path):
    ids = data[0].items
    other = replace(data[0], items=Vocabulary(tuple(f"x{raw}" for raw in ids.ids)))
    other.save(tmp_path / "other")
    about = DataInfo.of(other, tmp_path / "other")
    train(replace(spec, data=about), tmp_path / "a", dataset=other)
    train(replace(spec, split_kind="ratio"), tmp_path / "b", dataset=data[0])
    for name, told in {
        "a": r"data\.checksum \(",
        "b": r"the train rows \(split in run\.json",
    }.items():
        shutil.rmtree(run.folder / "model")
        shutil.copytree(tmp_path / name / "model", run.folder / "model")
        with pytest.raises(ModelFolderError, match=f"the model of another run .* {told}"):
            open_run(run.folder)


def test_a_split_that_was_changed_and_sealed_again_is_not_that_of_the_model(run):
    edit(run.folder / "run.json", lambda about: about["split"].update(kind="ratio"), seal=True)
    with pytest.raises(
        ModelFolderError, match=r"the train rows \(split in run\.json: ratio, seed 0"
    ):
        open_run(run.folder)


def test_a_live_run_is_neither_gone_on_with_nor_replaced(run, spec, data, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    before = told_files(run.folder)
    refused: list[str] = []

    def ask() -> None:
        for options in ({"resume": True}, {"force": True}):
            try:
                train(spec, run.folder, dataset=data[0], **options)
            except LockedError as error:
                refused.append(str(error))

    with writing_run(run.folder):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        open_run(run.folder)  # readers need no lock
    assert len(refused) == 2 and all(f"run: process {os.getpid()} (" in text for text in refused)
    assert told_files(run.folder) == before


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ModelFolderError, match=r"run\.json"):
        read_info(tmp_path)


def test_a_folder_without_a_run_names_the_command(tmp_path):
    with pytest.raises(ModelFolderError, match=r"is no run folder .*'edgewise fit METHOD"):
        read_info(tmp_path)


def test_an_unfinished_run_names_its_own_command(run):
    edit(run.folder / "run.json", lambda about: about.update(status="training"), seal=True)
    for ask in (open_run, read_finished):
        with pytest.raises(ModelFolderError, match=r"edgewise fit fake --out .* --resume"):
            ask(run.folder)


def test_folders_are_taken_only_with_leave(info, run, tmp_path):
    check_free(tmp_path / "new")
    check_free(run.folder, force=True)
    with pytest.raises(ConfigError, match="a finished run is there; choose another folder, or rep"):
        check_free(run.folder)
    unfinished = changed(info, tmp_path / "unfinished")
    with pytest.raises(ConfigError, match="an unfinished run is there; go on with --resume, or"):
        check_free(unfinished)
    (unfinished / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="a damaged run is there"):
        check_free(unfinished)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="something else is there; choose another folder"):
        check_free(tmp_path / "thesis", force=True)


def test_a_new_run_takes_the_whole_folder(info, run):
    prepare_folder(run.folder, info, force=True)
    assert sorted(path.name for path in run.folder.iterdir()) == ["config.toml", "run.json"]
    assert read_info(run.folder) == info and is_run(run.folder)
    assert [path.name for path in run.folder.parent.iterdir()] == ["run"]


def test_it_is_opened_as_what_it_was_fitted_as(run):
    assert run.label == "Fake" and run.tasks == ["direct", "sequential"]
    assert run.info.training_seconds == 5.0, "of both stages"
    opened = open_run(run.folder)
    assert (opened.label, opened.tasks, opened.config) == ("Fake", run.tasks, run.config)
    assert (run.folder / "config.toml").read_text().startswith('method = "fake"\n')
    assert (run.folder / "curves.png").is_file()


def test_an_opened_run_holds_ids_once_and_no_train_rows(run):
    opened = open_run(run.folder)
    fitted, dataset = opened.model.data, opened.dataset
    assert fitted.users is dataset.users and fitted.items is dataset.items
    assert fitted.titles is dataset.catalog.title
    assert all(isinstance(vars(opened.split.train)[n], Later) for n in opened.split.train.columns)


def test_the_data_set_must_be_the_one_it_was_fitted_on(run, data, tmp_path):
    dataset, folder = data
    load_run_data(run.spec.data)
    items = dataset.interactions.item_index.copy()
    items[0] = (items[0] + 1) % dataset.num_items
    altered = replace(dataset, interactions=replace(dataset.interactions, item_index=items))
    altered.save(tmp_path / "altered")
    with pytest.raises(DataError, match="altered: not the data the run was fitted on"):
        open_run(run.folder, tmp_path / "altered")
    with pytest.raises(DataError, match="say where it is with --data"):
        load_run_data(replace(run.spec.data, folder=str(tmp_path / "gone")))
    assert load_run_data(replace(run.spec.data, folder="gone"), folder).checksum == dataset.checksum


def test_only_decoding_can_change(run):
    assert run.decoding_as(()) is run
    with pytest.raises(ConfigError, match=r"only decoding\.\* and priors\.relearn can change"):
        run.decoding_as(["training.first.epochs=3"])
    with pytest.raises(ConfigError, match="unknown configuration key 'decoding'"):
        run.decoding_as(["decoding.num_beams=3"])


# Its protocol.


def test_the_protocol_is_kept_with_the_run(released):
    recorded = json.loads((released.folder / "run.json").read_text())["protocol"]
    assert recorded == {"name": "elmrec-released", "version": 1, "edge_share": 0.8}
    assert read_info(released.folder).spec.protocol == released.spec.protocol


def test_the_opened_run_has_the_edges_it_was_fitted_with(released):
    fitted, opened = released.split, open_run(released.folder).split
    assert opened.edges is not None and fitted.edges is not None
    assert opened.edges.item_index.tolist() == fitted.edges.item_index.tolist()
    assert len(opened.edges) != len(opened.train)
