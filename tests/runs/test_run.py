"""Run folders: ``run.json`` reads back equal, and what cannot be trusted is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.fake_method import FakeConfig
from tests.seals import edit

from edgewise.errors import ConfigError, DataError, ModelFolderError
from edgewise.runs.run import (
    RunInfo,
    check_free,
    is_run,
    load_run_data,
    open_run,
    prepare_folder,
    read_finished,
    read_info,
)
from edgewise.runs.spec import DataInfo, RunSpec


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
        ({"split": None}, "'split'"),
        ({"protocol": {"name": "elmrec-patched", "version": 1}}, "no such protocol: 'elmrec-patch"),
    ],
)
def test_what_cannot_be_trusted_is_refused(info, tmp_path, values, message):
    with pytest.raises(ModelFolderError, match=message):
        read_info(changed(info, tmp_path, **values))


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
    with pytest.raises(ConfigError, match=r"only decoding\.\* can change after training"):
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
