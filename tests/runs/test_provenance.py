"""Which commit a result was computed with, as far as git knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgewise.runs.provenance import code_versions, source_commit


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package inside a repository of one commit."""
    folder = tmp_path / "src" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    source_commit.cache_clear()
    return folder


def test_a_commit_and_what_differs_from_it(package):
    commit = source_commit(package)
    assert commit is not None and len(commit) == 40
    (package.parents[1] / "notes.txt").write_text("beside the package")
    source_commit.cache_clear()
    assert source_commit(package) == commit
    (package / "__init__.py").write_text("changed = True")
    source_commit.cache_clear()
    assert source_commit(package) == f"{commit}+changes"


def test_a_package_that_git_does_not_hold(package, tmp_path):
    installed = package.parent / "installed"
    installed.mkdir()
    (installed / "__init__.py").write_text("")
    assert source_commit(installed) is None


def test_versions_are_always_told():
    assert {"python", "edgewise", "numpy"} <= code_versions().keys()
