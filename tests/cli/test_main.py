"""The entry: fast, helpful, and clear about mistakes."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgewise as package

COMMANDS = (
    [],
    ["fit"],
    ["fit", "elmrec"],
    ["fit", "graph-gpt"],
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


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_examples(edgewise, command):
    result = edgewise(*command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert "edgewise " + " ".join(command) in result.output.partition("Examples")[2]


def test_help_imports_neither_torch_nor_polars():
    probe = (
        "import sys, time, edgewise.cli.main as m\n"
        "try: m.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'polars', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() < 1\n"  # 0.2 s; processor time, for machines that are busy
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version(edgewise):
    assert edgewise("--version").output == f"edgewise {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["evalute"], "'evaluate'"),
        (["fit", "elmrek"], "'elmrec'"),
        (["fit", "graphgpt"], "'graph-gpt'"),
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


def test_an_error_is_one_line_and_debug_raises_it(edgewise, tmp_path):
    arguments = ["evaluate", tmp_path / "none"]
    result = edgewise(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and result.output.count("\n") == 1
    assert "edgewise fit elmrec" in result.output
    assert type(edgewise("--debug", *arguments).exception).__name__ == "ModelFolderError"
