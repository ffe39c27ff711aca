"""Model folders in general: written whole, described, checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewise.errors import ModelFolderError
from edgewise.files import kind_of, read_model, versions, writing_model


@pytest.fixture
def folder(tmp_path) -> Path:
    with writing_model(tmp_path / "runs" / "m", "toy", {"depth": 3}) as partial:
        (partial / "weights").write_bytes(b"12345")
        (partial / "deeper").mkdir()
        (partial / "deeper" / "words.txt").write_text("a b")
    return tmp_path / "runs" / "m"


def test_settings_come_back(folder):
    assert read_model(folder, "toy") == {"depth": 3}
    assert kind_of(folder) == "toy"
    assert (folder / "deeper" / "words.txt").read_text() == "a b"


def test_it_says_what_made_it(folder):
    about = json.loads((folder / "model.json").read_text())
    assert about["versions"] == versions()
    assert {"python", "edgewise", "numpy"} <= set(about["versions"])
    assert set(about["sha256"]) == {"weights", "deeper/words.txt"}


def test_a_failure_leaves_the_old_model(folder):
    with pytest.raises(RuntimeError), writing_model(folder, "toy", {"depth": 4}) as partial:
        (partial / "weights").write_bytes(b"6")
        raise RuntimeError
    assert read_model(folder, "toy") == {"depth": 3}
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_a_newer_model_replaces_the_older_one(folder):
    with writing_model(folder, "toy", {"depth": 5}) as partial:
        (partial / "other").write_bytes(b"6")
    assert read_model(folder, "toy") == {"depth": 5}
    assert not (folder / "weights").exists()


@pytest.mark.parametrize("name", ["thesis.txt", None])
def test_what_is_no_model_is_not_replaced(tmp_path, name):
    place = tmp_path / "place"
    if name:
        place.mkdir()
        (place / name).write_text("years of work")
    else:
        place.write_text("a file")
    with (
        pytest.raises(ModelFolderError, match="choose another folder"),
        writing_model(place, "toy", {}),
    ):
        pass
    assert place.exists()


def test_an_empty_folder_may_be_filled(tmp_path):
    with writing_model(tmp_path, "toy", {"depth": 1}):
        pass
    assert read_model(tmp_path, "toy") == {"depth": 1}


def truncate(folder: Path) -> None:
    (folder / "weights").write_bytes(b"123")


def alter(folder: Path) -> None:
    (folder / "deeper" / "words.txt").write_text("a c")


def lose(folder: Path) -> None:
    (folder / "weights").unlink()


def rewrite(text: str):
    return lambda folder: (folder / "model.json").write_text(text)


def edit(**changes):
    def change(folder: Path) -> None:
        about = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(about | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "weights was truncated or altered"),
        (alter, "words.txt was truncated or altered"),
        (lose, "lacks weights"),
        (lambda folder: (folder / "model.json").unlink(), "is not a model folder"),
        (rewrite('{"kind": '), "cannot be read"),
        (rewrite("[]"), "does not describe a model"),
        (edit(settings=None), "does not describe a model"),
        (edit(sha256="abc"), "does not describe a model"),
        (edit(kind="elmrec"), "holds a 'elmrec' model, not 'toy': load it with its own class"),
        (edit(version=2), "has version 2; this edgewise reads 1"),
    ],
)
def test_damage_is_explained(folder, damage, message):
    damage(folder)
    with pytest.raises(ModelFolderError, match=message):
        read_model(folder, "toy")


def test_a_missing_folder_is_named(tmp_path):
    for ask in (lambda f: read_model(f, "toy"), kind_of):
        with pytest.raises(ModelFolderError, match=r"nowhere is not a model folder"):
            ask(tmp_path / "nowhere")
