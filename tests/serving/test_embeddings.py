"""Exported vectors are the model's, whole or refused; an index answers as exact search does."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.kills import told_files
from typer.testing import CliRunner, Result

from edgewise.cli.main import app
from edgewise.data.dataset import histories_of
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, DataError
from edgewise.runs.run import Run, open_run
from edgewise.serving.embeddings import export_embeddings, read_index, recall_of
from edgewise.serving.version import model_version

needs_faiss = pytest.mark.skipif(
    find_spec("faiss") is None, reason="faiss is not installed (extra index)"
)


def edgewise(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    make_demo_shop(3, num_users=60, num_items=96).save(folder / "shop")
    for method, more in (("lightgcn", ("--set", "training.epochs=1")), ("ease", ())):
        options = ("--data", folder / "shop", "--preset", "tiny", "--out", folder / method)
        done = edgewise("fit", method, *options, *more)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    return open_run(place / "lightgcn")


def users_of(run: Run) -> np.ndarray:
    rows = histories_of(60, run.dataset.interactions)
    return run.model.user_embeddings(histories=rows)


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_the_vectors_are_the_model_s_with_their_ids(run, place, tmp_path, form):
    done = edgewise("export", "embeddings", run.folder, "--out", tmp_path / "v", "--format", form)
    assert done.exit_code == 0, done.output
    assert "60 users and 96 items of" in done.output and "dot product" in done.output
    wanted = {"user": (run.dataset.users, users_of(run))}
    wanted["item"] = (run.dataset.items, run.model.item_embeddings())
    for kind, (ids, vectors) in wanted.items():
        table = pl.read_parquet(tmp_path / "v" / f"{kind}s.parquet")
        assert table[f"{kind}_id"].to_list() == list(ids.ids)
        if form == "npy":
            found = np.load(tmp_path / "v" / f"{kind}s.npy")
            assert table.columns == [f"{kind}_id"]
        else:
            found = table["embedding"].to_numpy()
        assert found.dtype == np.float32 and np.array_equal(found, vectors)
    about = json.loads((tmp_path / "v" / "embeddings.json").read_text())
    assert about["model"]["version"] == model_version(run.folder)
    assert (about["users"], about["items"], about["comparison"]) == (60, 96, "dot product")
    with pytest.raises(DataError, match="has no index: export it again with --index faiss"):
        read_index(tmp_path / "v")


@needs_faiss
@pytest.mark.parametrize("kind", ["faiss", "faiss-flat"])
def test_an_index_finds_what_exact_search_finds(run, tmp_path, kind):
    about = export_embeddings(run, tmp_path / "v", index=kind)
    assert about["index"]["recall@10"] > 0.95 and about["index"]["queries"] == 60
    index = read_index(tmp_path / "v")
    assert len(repr(index)) < 100 and len(index) == 96
    users, items = users_of(run), run.model.item_embeddings()
    exact = np.argsort(-(users @ items.T), axis=1)[:, :10]
    found = index.search(users, 10)
    assert found.columns == ["query", "item_id", "score", "rank"]
    rows = run.dataset.items.indices_of(found["item_id"].to_list()).reshape(60, 10)
    assert recall_of(rows, exact) == pytest.approx(about["index"]["recall@10"], abs=1e-4)
    if kind == "faiss-flat":
        assert np.array_equal(rows, exact)
    best = np.take_along_axis(users @ items.T, rows, 1)
    assert found["score"].to_numpy().reshape(60, 10) == pytest.approx(best, abs=1e-4)
    some = list(run.dataset.items.ids[4:6])
    alike = index.similar_items(some, 5)
    assert alike.columns == ["similar_to", "item_id", "score", "rank"]
    assert alike["similar_to"].to_list() == [some[0]] * 5 + [some[1]] * 5
    assert alike["rank"].to_list() == [1, 2, 3, 4, 5] * 2
    assert not (alike["item_id"] == alike["similar_to"]).any()
    with pytest.raises(ConfigError, match="vectors of 3 numbers: this index has"):
        index.search(np.zeros((2, 3)))


@needs_faiss
def test_what_is_damaged_or_there_already_is_refused(run, tmp_path):
    export_embeddings(run, tmp_path / "v", index="faiss-flat")
    before = told_files(tmp_path / "v")
    with pytest.raises(ConfigError, match=r"embeddings are there; .*--force"):
        export_embeddings(run, tmp_path / "v")
    export_embeddings(run, tmp_path / "v", index="faiss-flat", force=True)
    assert told_files(tmp_path / "v") == before
    path = tmp_path / "v" / "items.faiss"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"items.faiss is missing or was altered"):
        read_index(tmp_path / "v")
    with pytest.raises(DataError, match=r"no embeddings \(embeddings.json is missing\)"):
        read_index(tmp_path)


def test_recall_is_the_share_of_the_exact_answers():
    found, exact = np.array([[1, 2, -1], [7, 8, 9]]), np.array([[2, 3, 1], [9, 8, 7]])
    assert recall_of(found, exact) == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("lightgcn", "--format", "csv"), "--format csv: no such format"),
        (("lightgcn", "--index", "annoy"), "--index annoy: no such index"),
        (("ease",), "EASE has no vectors of users and items"),
    ],
)
def test_the_command_says_what_is_wrong(place, tmp_path, options, told):
    done = edgewise(
        "export", "embeddings", place / options[0], "--out", tmp_path / "v", *options[1:]
    )
    assert done.exit_code == 2 and told in " ".join(done.output.split())
    assert not (tmp_path / "v").exists()


def test_without_faiss_the_message_tells_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'edgewise\[index\]'"):
        export_embeddings(run, tmp_path / "v", index="faiss")
