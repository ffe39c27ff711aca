"""The entry: fast, helpful, and clear about mistakes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.cli.conftest import fitted

import edgewise as package

COMMANDS = (
    [],
    ["fit"],
    ["methods"],
    ["settings"],
    ["evaluate"],
    ["audit"],
    ["recommend"],
    ["explain"],
    ["demo"],
    ["tune"],
    ["reproduce"],
    ["compare"],
    ["data"],
    ["data", "import"],
    ["data", "info"],
    ["data", "demo"],
)
PROBE = """
import sys, time
import edgewise.cli.main as m
sys.argv = ["edgewise", *sys.argv[1:]]
try: m.app()
except SystemExit as end: code = end.code
heavy = {"torch", "torch._dynamo", "transformers", "accelerate", "polars", "numpy", "scipy"}
loaded = heavy & set(sys.modules)
print("PROBE", code, time.process_time(), *sorted(loaded))
"""


def probe(*arguments: object) -> tuple[int, float, set[str]]:
    """Exit code, seconds of processor time and the heavy libraries of a command."""
    words = [sys.executable, "-c", PROBE, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=6000)
    assert "PROBE" in done.stdout, done.stderr
    code, seconds, *loaded = done.stdout.rpartition("PROBE ")[2].split()
    return int(code), float(seconds), set(loaded)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_examples(edgewise, command):
    result = edgewise(*command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert "edgewise " + " ".join(command) in result.output.partition("Examples")[2]


def test_help_imports_neither_torch_nor_polars():
    # 0.4 s; processor time, for machines that are busy
    code, seconds, loaded = probe("--help")
    assert (code, loaded) == (0, set()) and seconds < 1


def test_a_wish_that_cannot_be_granted_is_refused_before_a_model_loads(run):
    code, _, loaded = probe("evaluate", run, "--metric", "Foo")
    assert code == 2 and not loaded & {"torch", "transformers"}


def test_a_method_without_gradients_needs_no_torch(shop, tmp_path):
    out = tmp_path / "run"
    code, _, loaded = probe("fit", "popularity", "--data", shop, "--out", out, "--quiet")
    assert code == 0 and not loaded & {"torch", "transformers"}
    code, _, loaded = probe("recommend", out, "--all", "--out", tmp_path / "lists.csv")
    assert code == 0 and not loaded & {"torch", "transformers"}
    assert (tmp_path / "lists.csv").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--users", "nobody"],
        ["--all", "--filter", "colour=red"],
        ["--all", "--exclude", "nothing"],
        ["--history", "nothing"],
        ["--similar-to", "nothing"],
    ],
    ids=" ".join,
)
def test_what_is_asked_wrongly_is_refused_before_a_model_loads(run, wrong):
    code, _, loaded = probe("recommend", run, *wrong)
    assert code == 2 and not loaded & {"torch", "transformers", "scipy"}


def test_a_saved_network_is_read_without_what_trains_and_compiles(shop, tmp_path):
    fast = ("--preset", "tiny", "--set", "training.epochs=1")
    fitted(tmp_path / "run", "sasrec", shop, *fast)
    code, _, loaded = probe("recommend", tmp_path / "run", "--all", "--out", tmp_path / "lists.csv")
    assert code == 0 and loaded == {"torch", "numpy", "polars"}


def test_version(edgewise):
    assert edgewise("--version").output == f"edgewise {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["evalute"], "'evaluate'"),
        (["fit", "elmrek", "--out", "r"], "'elmrec'"),
        (["fit", "graphgpt", "--out", "r"], "'graph-gpt'"),
        (["settings", "graphgpt"], "'graph-gpt'"),
        (["data", "imports"], "'import'"),
        (["evaluate", "--taks", "direct"], "--task"),
        (["fit", "elmrec", "--presett", "tiny"], "--preset"),
        (["data", "import", "--kcore", "5"], "--k-core"),
    ],
)
def test_unknown_commands_and_options_name_the_nearest(edgewise, arguments, nearest):
    result = edgewise(*arguments)
    assert result.exit_code == 2
    assert nearest in result.output


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("evaluate r", "--split", "--part"),
        ("evaluate r", "--no-rerank", "--include-seen"),
        ("evaluate r", "--allow-seen", "--include-seen"),
        ("recommend r", "--allow-seen", "--include-seen"),
        ("recommend r", "--item", "--similar-to"),
        ("recommend r", "--deny", "--exclude"),
        ("reproduce t", "--data", "--raw-data"),
        ("reproduce t", "--allow-seen", "--include-seen"),
        ("reproduce t", "--no-rerank", "--include-seen"),
        ("reproduce t", "--experiments", "--configs"),
        ("compare t", "--experiments", "--configs"),
        ("data import x --out y", "--item-numbers", "--id-order"),
    ],
)
def test_old_options_are_refused_with_their_new_names(edgewise, command, old, new):
    for spelling in ([old, "value"], [f"{old}=value"]):
        result = edgewise(*command.split(), *spelling)
        assert result.exit_code == 2
        assert result.output == f"error: {old} is called {new} now\n"


def test_an_error_is_one_line_and_debug_raises_it(edgewise, tmp_path):
    arguments = ["evaluate", tmp_path / "none"]
    result = edgewise(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and result.output.count("\n") == 1
    assert "edgewise fit METHOD" in result.output
    assert type(edgewise("--debug", *arguments).exception).__name__ == "ModelFolderError"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("edgewise fit gra", "graph-gpt"),
        ("edgewise fit elmrec --preset paper-be", "paper-beauty"),
        ("edgewise fit graph-gpt --set attention.del", "attention.delta=0.5"),
        ("edgewise demo --method pop", "popularity"),
    ],
)
def test_the_shell_completes(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    environment = {**os.environ, **words, "_EDGEWISE_COMPLETE": "complete_bash"}
    code = "from edgewise.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600
    )
    assert offered in done.stdout.split(), done.stderr
