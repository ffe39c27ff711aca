"""A run is fitted, opened and measured under one protocol, its own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.fake_method import FakeConfig

from edgewise.data.dataset import Dataset
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, DataError, ModelFolderError
from edgewise.evaluation.protocols import HONEST, PROTOCOLS, find_protocol
from edgewise.models.elmrec.config import preset
from edgewise.runs import open_run
from edgewise.runs.evaluate import Conditions, evaluate_task
from edgewise.runs.run import DataInfo, RunInfo, check_settings, prepare_folder, read_info, split_of
from edgewise.runs.train import fit_run

ELMREC = find_protocol("elmrec-released", edge_share=0.8)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> tuple[Dataset, str]:
    """A shop that keeps its source's numbers, and its folder."""
    folder = tmp_path_factory.mktemp("numbered") / "shop"
    shop = make_demo_shop(0, num_users=30, num_items=60)
    dataset = replace(shop, source={**shop.source, "item_numbers": "source"})
    dataset.save(folder)
    return dataset, str(folder)


@pytest.fixture
def info(fake, numbered) -> RunInfo:
    dataset, folder = numbered
    data = DataInfo.of(dataset, folder)
    return RunInfo(FakeConfig(), data, method_name="fake", protocol=ELMREC)


@pytest.fixture
def run(info, numbered, tmp_path):
    prepare_folder(tmp_path / "run", info)
    return fit_run(tmp_path / "run", info, numbered[0])


def test_the_protocol_is_kept_with_the_run(run):
    recorded = json.loads((run.folder / "run.json").read_text())["protocol"]
    assert recorded == {"name": "elmrec-released", "version": 1, "edge_share": 0.8}
    assert read_info(run.folder).protocol == ELMREC


def test_the_opened_run_has_the_edges_it_was_fitted_with(run):
    fitted, opened = run.split, open_run(run.folder).split
    assert opened.edges is not None and fitted.edges is not None
    assert opened.edges.item_index.tolist() == fitted.edges.item_index.tolist()
    assert len(opened.edges) != len(opened.train)


def test_reports_of_the_run_and_its_baseline_say_that_they_leak(run):
    for task in ("direct", "sequential"):
        result = evaluate_task(open_run(run.folder), task, Conditions())
        for values in result.to_dict().values():
            assert next(iter(values)) == "warning"
            assert values["protocol"]["name"] == "elmrec-released"
            assert values["settings"]["data_checksum"] == run.info.data.checksum


def test_the_protocol_gives_what_nobody_asks_for(run):
    report = evaluate_task(run, "direct", Conditions()).reports["Fake"]
    assert [*report.metrics] == ["HitRate@5", "HitRate@10", "NDCG@5", "NDCG@10"]
    asked = Conditions(ks=(3,), metrics=("MRR",), num_negatives=7)
    report = evaluate_task(run, "direct", asked).reports["Fake"]
    assert [*report.metrics] == ["MRR@3"] and report.settings["num_negatives"] == 7


def test_a_run_older_than_protocols_was_honest(info, tmp_path):
    info.write(tmp_path)
    values = json.loads((tmp_path / "run.json").read_text())
    del values["protocol"]
    (tmp_path / "run.json").write_text(json.dumps(values))
    assert read_info(tmp_path).protocol == HONEST


def test_a_run_of_another_version_is_opened_but_not_measured(run):
    path = run.folder / "run.json"
    values = json.loads(path.read_text())
    values["protocol"]["version"] = 0
    path.write_text(json.dumps(values))
    opened = open_run(run.folder)
    with pytest.raises(ConfigError, match="fitted under elmrec-released v0"):
        evaluate_task(opened, "direct", Conditions())


def test_an_unknown_protocol_in_a_run_is_refused(run):
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace("elmrec-released", "elmrec-patched"))
    with pytest.raises(ModelFolderError, match="no such protocol: 'elmrec-patched'"):
        read_info(run.folder)


def test_an_honest_run_refuses_numbers_that_tell(info, numbered):
    with pytest.raises(DataError, match="keeps its source's numbers"):
        split_of(replace(info, protocol=HONEST), numbered[0])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_texts_dealt_at_random_belong_to_the_protocol_that_says_so(name):
    config = preset("tiny")
    leaking = replace(config, prompts=replace(config.prompts, explanations="random"))
    protocol = find_protocol(name)
    check_settings(protocol, config)
    if protocol.explanation_rows == "own part":
        with pytest.raises(ConfigError, match=r"prompts\.explanations = 'random' trains on texts"):
            check_settings(protocol, leaking)
    else:
        check_settings(protocol, leaking)
