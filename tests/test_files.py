"""Files that appear whole or not at all; model folders: described, checked, with a card."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from edgewise.errors import ModelFolderError
from edgewise.files import (
    add_to_card,
    discard,
    file_checksum,
    is_taken,
    kind_of,
    read_model,
    recover,
    replacing,
    tidy,
    versions,
    whole_folder,
    write_card,
    write_text,
    writing_model,
)


@pytest.fixture
def folder(tmp_path) -> Path:
    with writing_model(tmp_path / "runs" / "m", "toy") as (partial, settings):
        settings["depth"] = 3
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
    with pytest.raises(RuntimeError), writing_model(folder, "toy") as (partial, settings):
        settings["depth"] = 4
        (partial / "weights").write_bytes(b"6")
        raise RuntimeError
    assert read_model(folder, "toy") == {"depth": 3}
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_a_newer_model_replaces_the_older_one(folder):
    with writing_model(folder, "toy") as (partial, settings):
        settings["depth"] = 5
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
        writing_model(place, "toy"),
    ):
        pass
    assert place.exists()


def test_an_empty_folder_may_be_filled(tmp_path):
    with writing_model(tmp_path, "toy") as (_, settings):
        settings["depth"] = 1
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
        (rewrite('{"kind": '), "not valid JSON"),
        (rewrite("[]"), "holds a list"),
        (edit(settings=None), "settings is null"),
        (edit(sha256="abc"), "sha256 is 'abc'"),
        (edit(kind="elmrec"), "holds a 'elmrec' model, not 'toy': load it with its own class"),
        (edit(sha256={}), r"model\.json: changed .*: sha256\.deeper/words\.txt \(removed\)"),
        (edit(settings={"depth": 4}), r"settings\.depth = 4"),
        (edit(seal=None), "the field 'seal' is missing"),
        (edit(version=1), "has version 1; this edgewise reads 3"),
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


def test_any_model_is_read_where_none_is_wanted(folder):
    assert read_model(folder) == {"depth": 3}


# Files.


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "note.txt"
    write_text(path, "first")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    write_text(path, "second")
    assert path.read_text() == "second" and [p.name for p in path.parent.iterdir()] == ["note.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    place = tmp_path / "place"
    for text in ("first", "second"):
        with whole_folder(place) as partial:
            (partial / text).write_text(text)
    assert [path.name for path in place.iterdir()] == ["second"]
    with pytest.raises(KeyboardInterrupt), whole_folder(place) as partial:
        (partial / "third").write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in place.iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_swap_cut_short_puts_the_old_folder_back(tmp_path, monkeypatch):
    place = tmp_path / "place"
    with whole_folder(place) as partial:
        (partial / "first").touch()

    def fail(self, target):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"), whole_folder(place):
        pass
    assert [path.name for path in place.iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_what_a_kill_left_is_put_back_told_and_removed(tmp_path, caplog):
    old, partial = tmp_path / ".place.old", tmp_path / ".place.partial"
    for place in (old, partial):
        place.mkdir()
        (place / place.name).touch()
    recover(tmp_path / "place")
    assert [path.name for path in (tmp_path / "place").iterdir()] == [".place.old"]
    assert f"{tmp_path / 'place'}: recovered; a command that was replacing it" in caplog.text
    old.mkdir()
    tidy(tmp_path / "place")
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    discard(tmp_path / "place")
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_takes_no_place(tmp_path):
    (tmp_path / ".run.json.partial").touch()
    (tmp_path / ".run.json.lock").touch()
    assert not is_taken(tmp_path)
    (tmp_path / ".run.old").touch()
    assert is_taken(tmp_path)


def test_the_folder_in_which_one_stands_has_a_name(tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    recover(Path())
    tidy(Path())
    assert is_taken(tmp_path) and not is_taken(Path())


def test_a_pipe_is_written_and_stays(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "lists")
    reader.join()
    assert read == ["lists"] and pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_what_is_taken(tmp_path):
    assert not is_taken(tmp_path / "nothing") and not is_taken(tmp_path)
    (tmp_path / "file").touch()
    assert is_taken(tmp_path) and is_taken(tmp_path / "file")
    assert file_checksum(tmp_path / "file").startswith("e3b0c44298fc1c14"), "SHA-256 of nothing"


# The card.


def test_the_card_has_a_head_a_table_and_sections_that_can_be_replaced(tmp_path):
    write_card(tmp_path, "Toy on shop", {"data": "a | b\nc"}, ["## Licence", "yours"])
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\n") and "library_name: edgewise" in text
    assert "# Toy on shop" in text and "| data | a \\| b c |" in text
    add_to_card(tmp_path, "Metrics: a", ["old"])
    add_to_card(tmp_path, "Metrics: b", ["other"])
    add_to_card(tmp_path, "Metrics: a", ["new"])
    text = (tmp_path / "README.md").read_text()
    assert "old" not in text and text.count("## Metrics: a") == 1
    for words in ("## Licence\n\nyours\n", "## Metrics: a\n\nnew\n", "## Metrics: b\n\nother\n"):
        assert words in text


def test_the_card_may_be_edited_and_lost(folder):
    (folder / "README.md").write_text("my words")
    read_model(folder, "toy")
    (folder / "README.md").unlink()
    add_to_card(folder, "Metrics", ["0.5"])
    read_model(folder, "toy")
    assert "## Metrics\n\n0.5" in (folder / "README.md").read_text()
