"""The documentation keeps its word: blocks run, links lead somewhere, named code exists."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+?) -->\s*\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```",
    flags=re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
MAKE = re.compile(r"^make +([a-z]+)", flags=re.MULTILINE)
CODE_NAME = re.compile(r"`(?P<file>[\w/]+\.py)(?:::(?P<names>[\w.]+))?`")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    code: str
    reason_not_run: str | None
    line: int

    @property
    def only_makes(self) -> bool:
        """Whether it calls make: running that here would install and test inside a test."""
        return MAKE.search(self.code) is not None


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code"))
        yield Block(match["language"], dedent(match["code"]), match["reason"], line)


def write_ratings(path: Path, num_users: int = 40, num_items: int = 150) -> None:
    """The reader's own ratings.csv: users u1.., items i1.., two groups of taste, reviews."""
    rng = np.random.default_rng(7)
    lines = ["user_id,item_id,timestamp,rating,review"]
    for user in range(1, num_users + 1):
        own_half = np.arange(1, num_items + 1).reshape(2, -1)[user % 2]
        for step, item in enumerate(rng.choice(own_half, size=6, replace=False)):
            stamp = 1_700_000_000 + 86_400 * step
            lines.append(f"u{user},i{item},{stamp},5,Good number {item} for taste {user % 2}.")
    path.write_text("\n".join(lines) + "\n")


def run_block(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block where a reader would: in a folder of their own, the environment on PATH."""
    binaries = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": os.pathsep.join([binaries, os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = {
        "bash": ["bash", "-euo", "pipefail", "-c", block.code],
        "python": [sys.executable, "-c", block.code],
    }[block.language]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_readme_blocks_run_in_order(tmp_path: Path) -> None:
    write_ratings(tmp_path / "ratings.csv")
    executed = {"bash": 0, "python": 0}
    for block in blocks_of(ROOT / "README.md"):
        if block.language not in executed or block.reason_not_run or block.only_makes:
            continue
        done = run_block(block, tmp_path)
        assert done.returncode == 0, (
            f"README.md line {block.line}:\n{block.code}\n{done.stdout}\n{done.stderr}"
        )
        executed[block.language] += 1
    assert min(executed.values()) > 0, executed


def test_readme_blocks_name_their_language_and_their_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    blocks = list(blocks_of(ROOT / "README.md"))
    assert {block.language for block in blocks} <= {"bash", "python", "text"}
    called = [target for block in blocks for target in MAKE.findall(block.code)]
    assert {"demo", "test"} <= set(called) <= targets


def python_snippets() -> list[tuple[Path, Block]]:
    return [(page, b) for page in PAGES for b in blocks_of(page) if b.language == "python"]


def test_python_snippets_of_every_page_parse() -> None:
    assert len(python_snippets()) > 0
    for page, block in python_snippets():
        try:
            ast.parse(block.code)
        except SyntaxError as error:
            pytest.fail(f"{page.relative_to(ROOT)} line {block.line}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page: Path) -> None:
    prose = FENCE.sub("", page.read_text())
    targets = [match["target"] for match in LINK.finditer(prose)]
    relative = [target for target in targets if not re.match(r"[a-z]+:|#", target)]
    missing = [t for t in relative if not (page.parent / t.partition("#")[0]).exists()]
    assert not missing


def defined_names(path: Path) -> set[str]:
    """Functions, classes, methods (``Class.method``), fields and constants of one module."""
    names: set[str] = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(prefix + node.target.id)
            elif isinstance(node, ast.Assign):
                names.update(prefix + t.id for t in node.targets if isinstance(t, ast.Name))

    visit(ast.parse(path.read_text()).body, "")
    return names


@pytest.mark.parametrize("page", ["ideas.md", "graph-attention.md", "architecture.md"])
def test_named_code_exists(page: str) -> None:
    named = list(CODE_NAME.finditer((ROOT / "docs" / page).read_text()))
    assert len(named) > 10
    for match in named:
        path = ROOT / "src" / "edgewise" / match["file"]
        assert path.is_file(), f"{page} names {match['file']}, which does not exist"
        if match["names"]:
            assert match["names"] in defined_names(path), f"{page} names {match[0]}"


def test_every_room_is_on_the_map() -> None:
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "src" / "edgewise"
    rooms = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")}
    missing = [room for room in rooms - {"."} if f"`{room}/`" not in architecture]
    assert len(rooms) > 1
    assert not missing, f"docs/architecture.md does not name {missing}"
