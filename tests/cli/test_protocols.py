"""Protocols on the command line: chosen by fit, kept by the run, demanded by evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgewise.cli.fitting import Wish, fit
from tests.fake_method import FAKE

from edgewise.data.importing import ImportOptions, import_dataset
from edgewise.errors import ConfigError, DataError, EdgewiseError
from edgewise.evaluation.protocols import HONEST, find_protocol
from edgewise.evaluation.report import load_report
from edgewise.models.registry import METHODS
from edgewise.runs.run import FINISHED, TRAINING, read_info

RELEASED = find_protocol("elmrec-released")


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setitem(METHODS, FAKE.name, FAKE)


@pytest.fixture(scope="module")
def p5(tmp_path_factory) -> Path:
    """A P5 folder of 40 users and 120 items, numbered as they were bought."""
    folder = tmp_path_factory.mktemp("p5")
    rows = {user: [(3 * user + step) % 120 + 1 for step in range(6)] for user in range(1, 41)}
    lines = [f"{user} {' '.join(map(str, items))}" for user, items in rows.items()]
    (folder / "sequential.txt").write_text("\n".join(lines) + "\n")
    maps = {"id2user": {str(n): f"U{n}" for n in range(1, 41)}}
    maps |= {"id2item": {str(n): f"I{n}" for n in range(1, 121)}}
    (folder / "datamaps.json").write_text(json.dumps(maps))
    return folder


@pytest.fixture(scope="module")
def numbered(p5, tmp_path_factory) -> Path:
    """The data set with the source's numbers."""
    folder = tmp_path_factory.mktemp("numbered") / "data"
    import_dataset(p5, folder, ImportOptions(item_numbers="source"))
    return folder


def train(data, out, *, config=None, protocol=None, edge_share=None, split=None, **options):
    wish = Wish("fake", out, data, None, config, [], split, None, protocol, edge_share)
    fit(wish, **({"resume": False, "force": False, "quiet": True} | options))
    return read_info(out)


@pytest.fixture
def released(numbered, tmp_path) -> Path:
    train(numbered, tmp_path / "run", protocol="elmrec-released")
    return tmp_path / "run"


def test_honest_unless_asked(shop, tmp_path):
    assert train(shop, tmp_path / "run").protocol == HONEST
    info = train(shop, tmp_path / "later", protocol="temporal")
    assert (info.protocol.name, info.split_kind) == ("temporal", "time")


def test_the_file_names_it_and_the_command_line_goes_before(numbered, shop, tmp_path):
    file = tmp_path / "row.toml"
    file.write_text('protocol = "elmrec-released"\nedge_share = 0.8\n')
    info = train(numbered, tmp_path / "as-written", config=file)
    assert info.protocol == find_protocol("elmrec-released", edge_share=0.8)
    info = train(numbered, tmp_path / "changed", config=file, edge_share=0.4)
    assert info.protocol.edge_share == 0.4
    assert train(shop, tmp_path / "honest", config=file, protocol="honest").protocol == HONEST


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"protocol": "elmrec"}, ConfigError, "--protocol: .*Did you mean 'elmrec-released'"),
        ({"edge_share": 0.8}, ConfigError, "--edge-share needs --protocol"),
        ({"protocol": "honest", "edge_share": 0.8}, ConfigError, "--edge-share: edge_share bel"),
        ({"protocol": "temporal", "split": "ratio"}, ConfigError, "temporal splits by time"),
        ({"protocol": "elmrec-released"}, DataError, "--id-order source --out"),
        ({"protocol": "llm4rec-released"}, DataError, "import it again with --min-rating 4"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_file_is_written(
    shop, tmp_path, asked, error, message
):
    with pytest.raises(error, match=message):
        train(shop, tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_source_numbers_need_the_protocol_that_leaks(edgewise, numbered, tmp_path):
    result = edgewise("fit", "elmrec", "--data", numbered, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "keeps its source's numbers" in result.output and "elmrec-released" in result.output


def test_training_warns_and_names_the_protocol(numbered, tmp_path, capsys):
    train(numbered, tmp_path / "run", protocol="elmrec-released", quiet=False)
    printed = capsys.readouterr()
    assert printed.err.startswith("warning: LEAKS: figures under elmrec-released v1 are too high")
    assert "elmrec-released v1" in printed.out


def test_evaluation_says_first_that_it_leaks(edgewise, released):
    result = edgewise("evaluate", released, "--json", released / "all.json")
    assert result.exit_code == 0, result.output
    first = result.output.splitlines()[0]
    assert first == RELEASED.warning_where(has_texts=False) and "texts" not in first
    assert "protocol: elmrec-released v1 (LEAKS)" in " ".join(result.output.split())
    values = json.loads((released / "all.json").read_text())
    assert next(iter(values.items())) == ("warning", RELEASED.warning)
    assert values["protocol"] == values["run"]["protocol"] == RELEASED.to_dict()
    assert next(iter(values["results"]["direct"]["Fake"])) == "warning"


def test_an_honest_evaluation_has_nothing_to_warn_of(edgewise, shop, tmp_path):
    train(shop, tmp_path / "run")
    result = edgewise("evaluate", tmp_path / "run", "--json", tmp_path / "all.json")
    assert result.exit_code == 0 and "LEAKS" not in result.output
    values = json.loads((tmp_path / "all.json").read_text())
    assert values["protocol"] == HONEST.to_dict()
    assert "warning" not in values and "warning" not in values["results"]["direct"]["Fake"]


def test_another_protocol_than_the_runs_is_refused(edgewise, released):
    assert edgewise("evaluate", released, "--protocol", "elmrec-released").exit_code == 0
    result = edgewise("evaluate", released, "--protocol", "honest")
    assert result.exit_code == 2
    message = " ".join(result.output.split())
    assert "was fitted under elmrec-released" in message
    assert "edgewise fit fake --protocol honest" in message
    typo = edgewise("evaluate", released, "--protocol", "honset")
    assert typo.exit_code == 2 and "Did you mean 'honest'?" in typo.output


def test_resuming_under_another_protocol_is_refused(numbered, released):
    text = (released / "run.json").read_text()
    (released / "run.json").write_text(text.replace(FINISHED, TRAINING))
    for asked in ({"protocol": "honest"}, {"protocol": "elmrec-released", "edge_share": 0.8}):
        with pytest.raises(ConfigError, match=r"differ: --protocol \(\{'name': 'elmrec-released'"):
            train(numbered, released, resume=True, **asked)
    assert train(numbered, released, resume=True).status == FINISHED


def test_a_result_that_was_changed_by_hand_is_refused(edgewise, released, numbered):
    file = released / "all.json"
    assert edgewise("evaluate", released, "--json", file).exit_code == 0
    report = load_report(file, numbered)
    assert report.is_sealed and report.protocol == RELEASED
    single = load_report(released / "evaluation" / "direct-test.json")
    assert single.data_checksum == report.data_checksum
    values = json.loads(file.read_text())
    values["results"]["direct"]["Fake"]["metrics"]["HitRate@10"]["mean"] = 0.99
    file.write_text(json.dumps(values))
    with pytest.raises(EdgewiseError, match="not what was sealed"):
        load_report(file)
