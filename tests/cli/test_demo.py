"""The demo: everything is shown and one page tells it, whatever the method."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edgewise.cli import demo
from edgewise.data.synthetic import make_demo_shop
from edgewise.runs import open_run


def outside(page: str) -> list[str]:
    """Whatever a page would load from elsewhere."""
    return re.findall(r'(?:src|href|srcset)="(?!data:)', page) + re.findall(r"https?://", page)


@pytest.fixture
def fitted_already(monkeypatch, tmp_path):
    """Make the demo show a run that was fitted before, in a folder of its own."""

    def use(run: Path) -> Path:
        out = Path(shutil.copytree(run, tmp_path / "demo"))
        monkeypatch.setattr(demo, "_trained", lambda *asked: open_run(out))
        return out

    return use


def test_the_whole_journey(edgewise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ("--out", "runs/demo", "--quick", "--seed", 1, "--method", "popularity")
    result = edgewise("demo", *asked)
    assert result.exit_code == 0, result.output
    for words in ("plan: Popularity", "HitRate@10", "recommended", "report.html"):
        assert words in result.output
    run = open_run("runs/demo")
    assert (run.config.seed, run.dataset.num_users) == (1, 80)
    assert Path(run.spec.data.folder) == Path("runs/demo/data")
    page = (run.folder / "report.html").read_text()
    assert outside(page) == [] and "data:image" not in page and "How did it learn?" not in page
    assert edgewise("demo", *asked).exit_code == 0, "an older demo is replaced"
    again = edgewise("demo", "--out", "runs/demo", "--method", "elmrek")
    assert again.exit_code == 2 and "Did you mean 'elmrec'?" in again.output
    assert (run.folder / "report.html").is_file()


def test_elmrec_explains(edgewise, run, fitted_already):
    out = fitted_already(run)
    result = edgewise("demo", "--out", out, "--quick")
    assert result.exit_code == 0, result.output
    for words in ("HitRate@10", "Popularity", "BLEU-1", "recommended", "the model writes"):
        assert words in result.output
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert outside(page) == [] and "<script" not in page
    for heading in ("How good is it?", "How did it learn?", "How does it explain?"):
        assert heading in page
    assert page.count('class="card"') == 3 + 2


def test_graph_gpt_tells_of_itself(edgewise, gpt_run, fitted_already):
    out = fitted_already(gpt_run[0])
    result = edgewise("demo", "--out", out, "--quick", "--method", "graph-gpt")
    assert result.exit_code == 0, result.output
    page = (out / "report.html").read_text()
    assert "<h1>Graph-attentive GPT-2 on" in page and "edgewise fit graph-gpt" in page
    assert "T5 language model" not in page
    assert page.count("data:image/png;base64,") == 4
    assert "own words for users and items" in " ".join(page.split())


@pytest.mark.parametrize("method", ["elmrec", "graph-gpt", "popularity"])
def test_what_is_trained_is_the_tiny_preset_with_the_seed(monkeypatch, tmp_path, method):
    asked = []
    monkeypatch.setattr("edgewise.runs.train.train", lambda spec, out, **more: asked.append(spec))
    shop = make_demo_shop(2, num_users=20, num_items=48)
    for epochs in (None, 2):
        demo._trained(tmp_path, shop, method, 2, epochs)
    usual, quick = (spec.config for spec in asked)
    assert [spec.method_name for spec in asked] == [method, method]
    assert usual.seed == quick.seed == 2
    assert usual == asked[0].method.preset_config("tiny").model_copy(update={"seed": 2})
    if method == "elmrec":
        assert quick.training.epochs == 2 < usual.training.epochs
    if method == "graph-gpt":
        stages = ("content", "events", "predictive", "sequence")
        assert {quick.training.of(stage).epochs for stage in stages} == {2}


def test_an_unknown_method_is_refused_before_anything_starts(edgewise, tmp_path):
    result = edgewise("demo", "--out", tmp_path / "demo", "--method", "graphgpt")
    assert result.exit_code == 2 and "Did you mean 'graph-gpt'?" in result.output
    assert not (tmp_path / "demo").exists()
