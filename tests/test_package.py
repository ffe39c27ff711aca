"""The package as a newcomer meets it: import time, typing marker, version, make targets."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import edgewise
from edgewise.models.registry import METHODS

ROOT = Path(__file__).parents[1]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600
    )
    return done.stdout


def fastest_run(code: str, repeats: int = 3) -> float:
    """Seconds of processor time of the fastest of several runs, for machines that are busy."""
    timed = f"{code}\nimport time\nprint(time.process_time())"
    return min(float(run_python(timed)) for _ in range(repeats))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def newest_changelog_version() -> str:
    match = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert match, "CHANGELOG.md has no entry"
    return match[1]


def test_importing_edgewise_costs_less_than_0_3_seconds() -> None:
    assert fastest_run("import edgewise") - fastest_run("pass") < 0.3


@pytest.mark.parametrize(
    "statement",
    [
        "import edgewise",
        "from edgewise import Dataset, Split, evaluate, load_model",
        "from edgewise import EASE, Popularity",
        "import edgewise.recommender",
        "import edgewise.cli.main, edgewise.runs.spec, edgewise.runs.train",
    ],
)
def test_data_types_come_without_torch(statement: str) -> None:
    heavy = "sorted({'torch', 'transformers', 'accelerate'} & set(sys.modules))"
    assert run_python(f"import sys; {statement}; print({heavy})").strip() == "[]"


def test_every_public_name_can_be_imported_and_others_are_refused() -> None:
    assert len(edgewise.__all__) > 1
    for name in edgewise.__all__:
        assert getattr(edgewise, name) is not None
    assert set(edgewise.__all__) <= set(dir(edgewise))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = edgewise.no_such_name


def test_every_method_of_the_registry_is_public() -> None:
    for method in METHODS.values():
        assert edgewise._PUBLIC[method.path.partition(":")[2]] == method.path.partition(":")[0]


def test_type_checkers_see_the_names_that_are_loaded_lazily() -> None:
    body = ast.parse((ROOT / "src/edgewise/__init__.py").read_text()).body
    (block,) = (node for node in body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == edgewise._PUBLIC
    assert set(edgewise.__all__) == {*seen, "__version__"}


def test_importing_edgewise_loads_no_numpy() -> None:
    assert run_python("import sys, edgewise; print('numpy' in sys.modules)").strip() == "False"


def test_typing_marker_lies_in_the_folder_that_is_shipped() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (shipped,) = config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (ROOT / shipped / "py.typed").is_file()
    assert files("edgewise").joinpath("py.typed").is_file()


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest_changelog_version() == edgewise.__version__
    assert citation["version"] == edgewise.__version__


def test_citation_names_both_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    dois = {reference["doi"] for reference in citation["references"]}
    assert dois == {"10.48550/arXiv.2409.19979", "10.48550/arXiv.2402.09617"}
    assert all(reference["authors"] for reference in citation["references"])


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)\b(?=[`\s]|$)", commands_of(page), re.MULTILINE))
    assert {"test"} <= named
    assert named <= make_targets()


def commands_of(page: str) -> str:
    """The inline code and code blocks of a page, one a line: prose may say "make sure"."""
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(blocks + re.findall(r"`([^`\n]+)`", text))


def test_constraints_pin_every_requirement_within_its_range() -> None:
    from packaging.requirements import Requirement

    pins = {
        name.lower().replace("_", "-"): version
        for name, version in re.findall(
            r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE
        )
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["dev"] + extras["plots"] + extras["docs"]
    requirements = [Requirement(line) for line in wanted if not line.startswith("edgewise")]
    assert len(requirements) > 20
    for requirement in requirements:
        pin = pins[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pin), f"{requirement} does not admit {pin}"
