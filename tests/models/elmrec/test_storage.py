"""Model folders of ELMRec: equal answers after loading, clear errors for every kind of damage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.models.elmrec.conftest import same_weights

from edgewise.errors import ModelFolderError
from edgewise.files import kind_of
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.models.popularity import Popularity


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "elmrec"
    fitted.save(folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path) -> Path:
    import shutil

    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_loaded_model_answers_alike(fitted, saved):
    loaded = ELMRec.load(saved)
    assert loaded.config == fitted.config and loaded.tasks == fitted.tasks
    users = np.arange(8)
    ours, theirs = fitted.recommend(users, 5), loaded.recommend(users, 5)
    assert np.array_equal(ours.item_index, theirs.item_index)
    assert np.array_equal(ours.score, theirs.score)
    assert loaded.explain([(1, 2)]) == fitted.explain([(1, 2)])
    new = [np.array([4, 9])]
    assert np.array_equal(fitted.recommend_new(new).score, loaded.recommend_new(new).score)


def test_saving_again_keeps_everything(fitted, saved, tmp_path):
    loaded = ELMRec.load(saved)
    loaded.save(tmp_path / "again")
    first, second = (
        json.loads((f / "model.json").read_text()) for f in (saved, tmp_path / "again")
    )
    assert first["settings"] == second["settings"]
    assert same_weights(ELMRec.load(tmp_path / "again"), fitted)


def test_it_holds_nothing_pickled(saved):
    suffixes = {path.suffix for path in saved.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    assert kind_of(saved) == "elmrec"


def edited(change) -> object:
    def edit(folder: Path) -> None:
        path = folder / "model.json"
        about = json.loads(path.read_text())
        change(about)
        path.write_text(json.dumps(about))

    return edit


def cut(name: str) -> object:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("model.safetensors"), "model.safetensors was truncated or altered"),
        (cut("tokenizer/tokenizer.json"), "tokenizer.json was truncated or altered"),
        (lambda folder: (folder / "graph.safetensors").unlink(), "lacks graph.safetensors"),
        (cut("model.json"), "model.json cannot be read"),
        (edited(lambda about: about.update(kind="other")), "holds a 'other' model"),
        (edited(lambda about: about.update(version=99)), "has version 99"),
        (edited(lambda about: about["settings"].pop("t5")), "cannot be read by this version"),
        (
            edited(lambda about: about["settings"]["config"]["prompts"].update(mystery=1)),
            "unknown configuration key 'prompts.mystery'",
        ),
        (
            edited(
                lambda about: about["settings"]["config"]["prompts"].update(num_prompt_embeddings=9)
            ),
            "cannot be read by this version",
        ),
    ],
)
def test_damage_is_explained(copied, damage, message):
    damage(copied)
    with pytest.raises(ModelFolderError, match=message):
        ELMRec.load(copied)


def test_folders_of_other_models_and_none_are_refused(shop_split, tmp_path):
    Popularity().fit(shop_split).save(tmp_path / "popular")
    with pytest.raises(ModelFolderError, match="holds a 'popularity' model, not 'elmrec'"):
        ELMRec.load(tmp_path / "popular")
    with pytest.raises(ModelFolderError, match="not a model folder"):
        ELMRec.load(tmp_path / "nowhere")
