"""Damaged data sets, runs, models and results: one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.malformed.conftest import guarded
from tests.malformed.mutations import ESCAPES, any_file, any_json, fields_changed

from edgewise.evaluation.report import sealed
from edgewise.files import file_checksum

ANY_JSON, ANY_FILE = dict(any_json()), dict(any_file())
RUN_FILES = (
    "run.json",
    "model/model.json",
    "curves.json",
    "training-log.json",
    "audit.json",
    "evaluation/direct-test.json",
)


def ask(run: Path, file: str, tmp_path: Path) -> None:
    """The command that reads a file of a run."""
    if file in ("training-log.json", "evaluation/direct-test.json"):
        guarded("audit", "--run", run, "--fast", names=Path(file).name)
    elif file in ("curves.json", "audit.json"):
        guarded("evaluate", run, "--json", tmp_path / "all.json", names=file)
    else:
        guarded("recommend", run, "--users", "u1", names=file.partition("/")[0])


@pytest.mark.parametrize("damage", ANY_JSON)
@pytest.mark.parametrize("file", RUN_FILES)
def test_files_of_a_run(world, copied, tmp_path, file, damage):
    run = copied(world.popular)
    ANY_JSON[damage](run / file)
    ask(run, file, tmp_path)


CURVES = {
    "stage": {
        "step": 2,
        "epochs_without_gain": 0,
        "best": 0.5,
        "seconds": 1.5,
        "metric": "loss",
        "train_loss": [[1, 2.5]],
        "valid": [{"loss": 0.5, "step": 2}],
    }
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("file", RUN_FILES)
def test_fields_of_files_of_a_run(world, copied, tmp_path, file, seed):
    run = copied(world.popular)
    values = json.loads((run / file).read_text()) or CURVES
    for _, change in list(fields_changed(values, 16, 1))[seed::4]:
        (run / file).write_text(json.dumps(change(values)))
        ask(run, file, tmp_path)


def reseal(folder: Path, about: str) -> None:
    """Make the checksums of a folder right again."""
    values = json.loads((folder / about).read_text())
    values["sha256"] = {
        name: file_checksum(folder / name) if (folder / name).is_file() else ""
        for name in values["sha256"]
    }
    (folder / about).write_text(json.dumps(values))


MODEL_FILES = ("users.parquet", "items.parquet", "histories.safetensors", "model.safetensors")


@pytest.mark.parametrize("damage", ANY_FILE)
@pytest.mark.parametrize("file", MODEL_FILES)
def test_files_of_a_model_whose_checksums_are_right(world, copied, file, damage):
    run = copied(world.ease)
    ANY_FILE[damage](run / "model" / file)
    reseal(run / "model", "model.json")
    guarded("recommend", run, "--users", "u1", names="model")


HUGE = 10**12
TOLD = {
    "d_model": HUGE,
    "num_layers": 10**9,
    "num_decoder_layers": HUGE,
    "vocab_size": HUGE,
    "num_heads": 0,
    "d_ff": -1,
    "d_kv": "x",
    "relative_attention_num_buckets": None,
}


@pytest.mark.parametrize("name", TOLD)
def test_a_model_is_refused_by_its_own_tables(world, copied, name):
    run = copied(world.elmrec)
    path = run / "model" / "model.json"
    about = json.loads(path.read_text())
    about["settings"]["learned"]["t5"][name] = TOLD[name]
    path.write_text(json.dumps(about))
    guarded("recommend", run, "--users", "u1", names="model", expect=2)


@pytest.mark.parametrize("damage", ANY_JSON)
def test_the_description_of_a_data_set(world, copied, damage):
    data = copied(world.data)
    ANY_JSON[damage](data / "dataset.json")
    guarded("data", "info", data, names="dataset.json")


@pytest.mark.parametrize("seed", range(4))
def test_fields_of_the_description_of_a_data_set(world, copied, seed):
    data = copied(world.data)
    values = json.loads((data / "dataset.json").read_text())
    for _, change in list(fields_changed(values, 16, 2))[seed::4]:
        (data / "dataset.json").write_text(json.dumps(change(values)))
        guarded("data", "info", data, names=str(data))


@pytest.mark.parametrize("damage", ANY_FILE)
@pytest.mark.parametrize("table", ["interactions", "users", "items"])
def test_tables_of_a_data_set_whose_checksums_are_right(world, copied, table, damage):
    data = copied(world.data)
    ANY_FILE[damage](data / f"{table}.parquet")
    reseal(data, "dataset.json")
    guarded("data", "info", data, names=f"{table}.parquet")


COLUMNS = {
    "item_index-far": ("interactions", pl.col("item_index") + 1000),
    "user_index-negative": ("interactions", pl.col("user_index") - 5),
    "item_index-text": ("interactions", pl.col("item_index").cast(pl.String)),
    "timestamp-text": ("interactions", pl.col("timestamp").cast(pl.String)),
    "timestamp-null": ("interactions", pl.lit(None, pl.Int64).alias("timestamp")),
    "user_id-number": ("users", pl.lit(3).alias("user_id")),
    "title-null": ("items", pl.lit(None, pl.String).alias("title")),
    "categories-text": ("items", pl.lit("a").alias("categories")),
}


@pytest.mark.parametrize("change", COLUMNS)
def test_columns_of_a_data_set(world, copied, change):
    data, (table, column) = copied(world.data), COLUMNS[change]
    path = data / f"{table}.parquet"
    pl.read_parquet(path).with_columns(column).write_parquet(path)
    reseal(data, "dataset.json")
    guarded("data", "info", data, names=f"{table}.parquet", expect=2)


@pytest.mark.parametrize("damage", ANY_JSON)
def test_result_files(world, copied, damage):
    result = copied(world.result)
    ANY_JSON[damage](result)
    guarded("compare", result, names="result.json")


@pytest.mark.parametrize("seed", range(4))
def test_fields_of_result_files_that_were_sealed_anew(world, copied, seed):
    result = copied(world.result)
    values = json.loads(result.read_text())
    for _, change in list(fields_changed(values, 32, 3))[seed::4]:
        try:
            text = json.dumps(sealed(change(values)))
        except ValueError:  # NaN and its like
            text = json.dumps(change(values))
        result.write_text(text)
        guarded("compare", result, "--allow-unsealed", names="result.json")


TABLES = {
    "digits": f"model,HR@{'9' * 5000},NDCG@10\na,0.1,0.1\n",
    "spaces": f"model,A{' ' * 100_000}B,HR@10,NDCG@10\na,1,0.1,0.1\n",
    "exponent": "model,HR@10,NDCG@10\na,1e-999999999,0.1\n",
    "infinite": "model,HR@10,NDCG@10\na,inf,nan\n",
    "markup": f"model,HR@10,NDCG@10\n[/]{ESCAPES},0.1,0.9\n",
    "field": f"model,HR@10,NDCG@10\n{'x' * 200_000},0.1,0.9\n",
    "nul": "model,HR@10,NDCG@10\n\0,0.1,0.9\n",
    "half": "model,HR@10,NDCG@10\na",
}


@pytest.mark.parametrize("table", TABLES)
def test_published_tables(tmp_path, table):
    path = tmp_path / "table.csv"
    path.write_bytes(TABLES[table].encode())
    guarded("audit", "--table", path, names="table.csv")
