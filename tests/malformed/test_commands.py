"""Bad options, settings, lists and names: one line that names them, and no folder in the way."""

from __future__ import annotations

import json
import random

import pytest
from tests.malformed.conftest import guarded
from tests.malformed.mutations import DEEP, ESCAPES, LONG_NUMBER, any_file

from edgewise.config import describe_settings
from edgewise.models.registry import methods

VALUES = (
    "-1",
    "0",
    str(2**64),
    "1" + "0" * 30,
    LONG_NUMBER,
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e-300",
    "''",
    "text",
    "true",
    "[]",
    "[[1]]",
    "[" * DEEP,
    "{a=1}",
    ESCAPES,
    "none",
)
SETTINGS = {
    name: [row.path for row in describe_settings(method.config_class)]
    for name, method in methods().items()
}


@pytest.mark.parametrize("method", SETTINGS)
def test_every_setting_takes_no_nonsense(tmp_path, method):
    """Good values are taken, so that the command goes on to the data, which are not named."""
    rng = random.Random(method)
    paths = SETTINGS[method]
    for path in rng.sample(paths, min(len(paths), 24)):
        words = ("--out", tmp_path / "run", "--set", f"{path}={rng.choice(VALUES)}")
        done = guarded("fit", method, *words, expect=2)
        assert path.rpartition(".")[2] in done.stderr or "--data is missing" in done.stderr
    assert not (tmp_path / "run").exists()


BEFORE_DATA = [
    ("elmrec", "seed=-1"),
    ("elmrec", f"seed={2**64}"),
    ("elmrec", "backbone.vocab_size=-5"),
    ("elmrec", "backbone.vocab_size=0"),
    ("elmrec", "training.embedding_lr_multiplier=-1"),
    ("elmrec", "training.learning_rate=1e300"),
    ("elmrec", "graph.rank=100000"),
    ("elmrec", "a.b.c=1"),
    ("elmrec", "=1"),
    ("elmrec", "graph=1"),
    ("elmrec", "seed"),
    ("elmrec", "." * 2000 + "=1"),
    ("elmrec", "seed=1\nb=2"),
    ("ease", "l2=nan"),
    ("ease", "l2=1e300"),
    ("graph-gpt", "training.sequence.validation_metric=HRR@9"),
    ("graph-gpt", f"training.sequence.validation_metric=NDCG@{LONG_NUMBER}"),
]


@pytest.mark.parametrize(("method", "setting"), BEFORE_DATA)
def test_settings_are_refused_before_anything_is_written(world, tmp_path, method, setting):
    out = tmp_path / "run"
    guarded("fit", method, "--data", world.data, "--out", out, "--set", setting, expect=2)
    assert not out.exists()


@pytest.mark.parametrize(
    "setting", ["graph.rank=65", "backbone.name=/nowhere", "backbone.name=a\x1bb"]
)
def test_what_does_not_fit_leaves_an_older_run_as_it_was(world, copied, setting):
    run = copied(world.popular)
    words = ("--data", world.data, "--out", run, "--force", "--preset", "tiny", "--set", setting)
    guarded("fit", "elmrec", *words, names=setting.partition("=")[0], expect=2)
    guarded("recommend", run, "--users", "u1", expect=0)


def test_pickles_are_never_read(world, tmp_path, monkeypatch):
    import shutil

    from tests.malformed.mutations import PICKLE
    from transformers import T5Config

    backbone = tmp_path / "t5"
    shutil.copytree(world.elmrec / "model" / "tokenizer", backbone)
    T5Config(d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1).save_pretrained(backbone)
    (backbone / "pytorch_model.bin").write_bytes(PICKLE)
    monkeypatch.chdir(tmp_path)
    words = ("--data", world.data, "--out", tmp_path / "run", "--set", f"backbone.name={backbone}")
    guarded("fit", "elmrec", *words, "--set", "graph.rank=0", names="backbone.name", expect=2)
    for text in ("", "[]", '{"model_type": "t5", "d_model": "x"}', "{" * 1000):
        (backbone / "config.json").write_text(text)
        guarded("fit", "elmrec", *words, names="backbone.name", expect=2)
    assert not (tmp_path / "pickle-was-run").exists() and not (tmp_path / "run").exists()


TOML = 'method = "ease"\npreset = "cpu"\nprotocol = "honest"\nsplit = "ratio"\nl2 = 5.0\n'
TOMLS = {
    "deep": "a = " + "[" * DEEP,
    "dots": "a" + ".a" * 50_000 + " = 1",
    "tables": "[a" + ".b" * 3000 + "]",
    "digits": f"l2 = {LONG_NUMBER}",
    "nan": "l2 = nan",
    "twice": "l2 = 1\nl2 = 2",
    "kind": "method = 3",
    "list": 'preset = ["cpu"]',
    "split": 'split = "tme"',
    "seed": "split_seed = -1",
    "huge": f"split_seed = {2**70}",
    "share": 'protocol = "elmrec-released"\nedge_share = nan',
    "escape": f"l2 = '{ESCAPES}'",
    "nul": 'l2 = "\\u0000"',
    "protocol": 'protocol = "[/]"',
    "large": "# " + "x" * 2_000_000,
}


@pytest.mark.parametrize("name", TOMLS)
def test_files_of_settings(world, tmp_path, name):
    path = tmp_path / "my.toml"
    path.write_text(TOMLS[name].replace("\x1b", "\\u001b"), encoding="utf-8")
    guarded("fit", "ease", "--data", world.data, "--out", tmp_path / "run", "--config", path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("damage", dict(any_file(cuts=4, flips=4)))
def test_damaged_files_of_settings(world, tmp_path, damage):
    path = tmp_path / "my.toml"
    path.write_text(TOML)
    dict(any_file(cuts=4, flips=4))[damage](path)
    guarded("fit", "ease", "--out", tmp_path / "run", "--config", path, expect=2)
    guarded(
        "tune", "ease", "--data", world.data, "--space", path, "--out", tmp_path / "tune", expect=2
    )


LISTS = {
    "users.txt": ("", "\n \n", "\x00", "x" * 1_000_000, ESCAPES, "u1\rnobody", "[" * DEEP),
    "items.txt": ("", "\n", ESCAPES, "user_id\n" * 3, "i1,i2,i3\n", '"', "item_id\n"),
    "items.csv": (
        "user_id,item_id\n",
        "user_id,item_id\nu1",
        "user_id,item_id\nu1,i1,i2",
        "user_id,item_id\nu1," + "x" * 200_000,
        "a,b\n1,2",
        'user_id,item_id\n"u1',
    ),
    "items.json": (
        "",
        "[]",
        "{}",
        "[1]",
        "[[]]",
        '{"u1": 3}',
        '{"u1": [null]}',
        "[" * DEEP,
        "NaN",
        '{"u1": []}',
        LONG_NUMBER,
        '["i1", "\\ud800"]',
        '{"u1": ["i1"], "u1": ["i2"]}',
        "null",
        '"i1"',
    ),
}


@pytest.mark.parametrize(
    ("name", "text"),
    [(n, t) for n, texts in LISTS.items() for t in texts],
    ids=lambda value: ascii(value)[:24],
)
def test_lists_of_users_and_candidates(world, tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    option = (
        ("--users-file", path) if name == "users.txt" else ("--users", "u1", "--candidates", path)
    )
    guarded("recommend", world.popular, *option)


@pytest.mark.parametrize("damage", dict(any_file(cuts=1, flips=1)))
@pytest.mark.parametrize("name", LISTS)
def test_damaged_lists(world, tmp_path, name, damage):
    path = tmp_path / name
    path.write_text('{"u1": ["i1", "i2"]}' if name.endswith("json") else "u1\nu2\n")
    dict(any_file(cuts=1, flips=1))[damage](path)
    option = (
        ("--users-file", path) if name == "users.txt" else ("--users", "u1", "--candidates", path)
    )
    guarded("recommend", world.popular, *option)


OPTIONS = [
    ("-k", "0"),
    ("-k", "-1"),
    ("-k", LONG_NUMBER),
    ("--task", "[/]"),
    ("--format", ESCAPES),
    ("--data", "/dev/null"),
    ("--out", "/dev/null/x.csv"),
    ("--out", "/"),
    ("--out", "x" * 5000 + ".csv"),
    ("--history", ","),
    ("--history", "[/]"),
    ("--users-file", "/dev/zero/x"),
    ("--candidates", "/"),
    ("--nothing", "1"),
]


@pytest.mark.parametrize(("option", "value"), OPTIONS, ids=lambda text: ascii(text)[:20])
def test_options_of_recommend(world, option, value):
    someone = () if option in ("--history", "--users-file") else ("--users", "u1")
    guarded("recommend", world.popular, *someone, option, value, expect=2)


FITTING = [
    ("--split-seed", "-1"),
    ("--split-seed", str(2**64)),
    ("--split", "[/]"),
    ("--protocol", "\x1b"),
    ("--edge-share", "nan"),
    ("--edge-share", "-1"),
    ("--preset", "[/]"),
    ("--config", "/"),
    ("--out", "/dev/null/x"),
    ("--data", "/dev/null"),
    ("--data", "x" * 5000),
]


@pytest.mark.parametrize(("option", "value"), FITTING, ids=lambda text: ascii(text)[:20])
def test_options_of_fit(world, tmp_path, option, value):
    given = {"--data": world.data, "--out": tmp_path / "run", "--split": "ratio"}
    if option == "--edge-share":
        given |= {"--protocol": "elmrec-released", "--split": "leave-one-out"}
    words = [word for pair in (given | {option: value}).items() for word in pair]
    guarded("fit", "popularity", *words, expect=2)
    assert not (tmp_path / "run").exists()


def test_lists_and_negatives_are_capped_by_the_catalogue(world, copied):
    done = guarded("recommend", world.popular, "--users", "u1", "-k", 1_000_000, expect=0)
    assert "warning: -k 1000000: the catalogue has 12 items" in done.stderr
    run = copied(world.popular)
    done = guarded("evaluate", run, "-k", 1_000_000, "--negatives", 100_000, expect=0)
    assert (
        "-k 1000000" in done.stderr and "--negatives 100000: the catalogue gives 11" in done.stderr
    )


EVALUATING = [
    ("-k", "0"),
    ("-k", LONG_NUMBER),
    ("--negatives", "0"),
    ("--negatives", "-3"),
    ("--max-users", "0"),
    ("--max-users", "-5"),
    ("--metric", f"HR@{LONG_NUMBER}"),
    ("--metric", "[/]"),
    ("--part", "[/]"),
    ("--json", "/"),
    ("--set", "decoding.x=1"),
    ("--per-user", "/dev/null"),
    ("--json", "/dev/null/x"),
]


@pytest.mark.parametrize(("option", "value"), EVALUATING, ids=lambda text: ascii(text)[:20])
def test_options_of_evaluate(world, copied, option, value):
    guarded("evaluate", copied(world.popular), option, value, expect=2)


def test_seeds_and_counts_of_other_commands(world, tmp_path):
    for seed in ("-1", str(2**64), LONG_NUMBER):
        guarded("data", "demo", "--out", tmp_path / "shop", "--seed", seed, names="seed", expect=2)
        guarded(
            "demo", "--quick", "--out", tmp_path / "demo", "--seed", seed, names="seed", expect=2
        )
        guarded("audit", "--data", world.data, "--split-seed", seed, names="seed", expect=2)
    assert list(tmp_path.iterdir()) == []


NAMES = [
    "[/]",
    "[health and Beauty]",
    "[bold]",
    ":heart:",
    ESCAPES,
    "{x}",
    "%s",
    "<script>",
    "a\u2028b",
    "\\[x",
]


def test_names_are_shown_as_they_are(tmp_path):
    """Ids, titles, the name of the data set and of its folder."""
    rows = [
        {
            "user_id": name,
            "item_id": NAMES[(number + step) % len(NAMES)],
            "timestamp": step,
            "summary": name,
            "review": name,
        }
        for number, name in enumerate(NAMES)
        for step in range(5)
    ]
    source, items = tmp_path / "[bold].jsonl", tmp_path / "items.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    titles = [{"item_id": name, "title": f"of {name}", "categories": [[name]]} for name in NAMES]
    items.write_text("".join(json.dumps(row) + "\n" for row in titles))
    data, run = tmp_path / "[/bold] data", tmp_path / "[red]"
    guarded("data", "import", source, "--out", data, "--metadata", items, expect=0)
    assert "[bold]" in guarded("data", "info", data, expect=0).stdout
    done = guarded("fit", "popularity", "--data", data, "--out", run, expect=0)
    assert "[red]" in done.stdout
    printed = guarded("recommend", run, "--all", expect=0).stdout
    assert "of [health and Beauty]" in printed and ":heart:" in printed and "\ufffd[31m" in printed
    done = guarded("recommend", run, "--users", ESCAPES, "--format", "json", expect=0)
    assert json.loads(done.stdout)[0]["user_id"] == ESCAPES
    for item in NAMES[:5]:
        guarded("explain", run, "--user", "[/]", "--item", item, expect=0)
        guarded("explain", run, "--user", "[/]", "--item", item, "--format", "json", expect=0)
    guarded("audit", "--run", run, expect=0)
    guarded("evaluate", run, "--json", tmp_path / "all.json", expect=0)
    guarded("recommend", run, "--users", "[no]", names="[no]", expect=2)
