"""The documentation keeps its word: blocks run, links lead somewhere, named code exists."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np
import polars as pl
import pytest

from edgewise import Dataset

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+?) -->\s*\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```",
    flags=re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
MAKE = re.compile(r"^make +([a-z-]+)", flags=re.MULTILINE)
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


def run_block(
    block: Block, folder: Path, packages: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a block where a reader would: in a folder of their own, the environment on PATH.

    ``packages`` stands in for a folder of installed packages.
    """
    binaries = str(Path(sys.executable).parent)
    paths = [*([] if packages is None else [str(packages)]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
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
        timeout=600,
    )


def test_readme_blocks_run_in_order(tmp_path: Path) -> None:
    write_ratings(tmp_path / "ratings.csv")
    rows = [
        "user_id,item_id,timestamp,rating,review",
        "u1,i14,1800000000,5,Again",
        "u41,i150,1800000000,4,New",
    ]
    (tmp_path / "new-rows.csv").write_text("\n".join(rows) + "\n")
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
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
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


def test_every_file_is_on_the_map() -> None:
    named = {m["file"] for m in CODE_NAME.finditer((ROOT / "docs" / "architecture.md").read_text())}
    package = ROOT / "src" / "edgewise"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    missing = sorted(file for file in files - named if not file.endswith("/__init__.py"))
    assert not missing, f"docs/architecture.md does not name {missing}"


def run_script(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docs" / name), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_the_reference_of_settings_is_up_to_date() -> None:
    done = run_script("write_settings.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_reference_shows_what_a_setting_is_where_it_stands() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert "| `training.content.epochs` | int | `10` |" in page
    assert "| `training.events.epochs` | int | `100` |" in page
    assert "| `attention.delta` | float | `0.5` |" in page and "delta, Eq. 4" in page
    assert "| `paper-beauty` |" in page and "`graph.sigma = 6.0`" in page


API_NAME = re.compile(r"^::: (?P<module>[\w.]+)\.(?P<name>\w+)$", flags=re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|attr|mod|data):`~?\.?(?P<target>edgewise[\w.]*)`")


def file_of(module: str) -> Path:
    place = ROOT / "src" / Path(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def test_the_python_interface_shows_every_public_name() -> None:
    import edgewise

    page = (ROOT / "docs" / "api.md").read_text()
    shown = {match["name"]: match["module"] for match in API_NAME.finditer(page)}
    assert set(edgewise.__all__) - {"__version__"} <= set(shown)
    for name, module in shown.items():
        assert name in defined_names(file_of(module)), f"docs/api.md names {module}.{name}"


def is_defined(target: str) -> bool:
    """Whether a dotted path leads to a module, or to a name of one."""
    parts = target.split(".")
    for cut in range(len(parts), 0, -1):
        path = file_of(".".join(parts[:cut]))
        if path.is_file():
            name = ".".join(parts[cut:])
            return not name or name in defined_names(path)
    return False


def test_references_in_docstrings_lead_somewhere() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {match['target']}"
        for path in (ROOT / "src").rglob("*.py")
        for match in ROLE.finditer(path.read_text())
        if not is_defined(match["target"])
    ]
    assert not wrong


def test_metrics_of_ones_own_are_measured(tmp_path: Path) -> None:
    """The page's script runs, and names every metric that can be asked for."""
    from edgewise.evaluation.list_metrics import LIST_METRICS
    from edgewise.evaluation.metrics import METRICS

    page = ROOT / "docs" / "metrics.md"
    (script,) = (block for block in blocks_of(page) if block.language == "python")
    done = run_block(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 1 < float(done.stdout) <= 10
    named = re.findall(r"^\| `(\w+)` \|", page.read_text(), flags=re.MULTILINE)
    assert sorted(named) == sorted([*METRICS, *LIST_METRICS])


def test_data_grow_as_their_page_says(tmp_path: Path) -> None:
    """Its commands and its script run, on the reader's rows and some that come later."""
    write_ratings(tmp_path / "ratings.csv", num_users=20, num_items=40)
    rows = ["user_id,item_id,timestamp", "fresh-customer,i3,1800000000", "u1,shiny,1800000001"]
    (tmp_path / "new-orders.csv").write_text("\n".join([*rows, "fresh-customer,i5,1800000002"]))
    (tmp_path / "new-items.csv").write_text("item_id,title\nshiny,A shiny thing\n")
    for block in blocks_of(ROOT / "docs" / "growing.md"):
        done = run_block(block, tmp_path)
        assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
    assert "grown=2 times" in done.stdout and "Grown(ItemKNN(" in done.stdout


ADD_A_METHOD = ROOT / "docs" / "contributing" / "add-a-method.md"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a reader has followed the page: an installed package, and its commands."""
    folder = tmp_path_factory.mktemp("reader")
    blocks = list(blocks_of(ADD_A_METHOD))
    method = next(b.code for b in blocks if "(Recommender):" in b.code)
    project = tomllib.loads(next(b.code for b in blocks if b.language == "toml"))["project"]
    install(folder / "site-packages", method, project["entry-points"])
    write_two_groups(folder / "data" / "mine")
    commands = next(b for b in blocks if b.language == "bash")
    done = run_block(commands, folder, packages=folder / "site-packages")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def install(place: Path, code: str, entry_points: dict[str, dict[str, str]]) -> None:
    """What pip leaves behind of a package of one file."""
    (module,) = (path.partition(":")[0] for path in entry_points["edgewise.methods"].values())
    package, name = module.split(".")
    (place / package).mkdir(parents=True)
    (place / package / "__init__.py").touch()
    (place / package / f"{name}.py").write_text(code)
    about = place / f"{package}-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {path}\n" for name, path in names.items())
        for group, names in entry_points.items()
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))


def write_two_groups(folder: Path, num_users: int = 60, num_items: int = 120) -> None:
    """Users u0, u1, ... and items i0, i1, ...; even users take even items, odd ones odd ones."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{2 * item + user % 2}", day)
        for user in range(num_users)
        for day, item in enumerate(rng.choice(num_items // 2, size=20, replace=False))
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    Dataset.from_frame(frame, name="two groups").save(folder)


def test_a_method_added_by_the_page_recommends_what_belongs_together(followed: Path) -> None:
    lists = pl.read_csv(followed / "lists.csv")
    assert lists["user_id"].to_list() == ["u1"] * 5 + ["u2"] * 5
    numbers = lists["item_id"].str.strip_prefix("i").cast(pl.Int64)
    assert (numbers % 2).to_list() == [1] * 5 + [0] * 5


def test_a_method_added_by_the_page_is_measured_and_kept(followed: Path) -> None:
    results = json.loads((followed / "cosine.json").read_text())["results"]
    assert set(results) == {"direct", "sequential"}
    assert set(results["direct"]) == {"item-cosine", "Popularity"}
    settings = tomllib.loads((followed / "runs" / "cosine" / "config.toml").read_text())
    assert settings["method"] == "item-cosine" and settings["shrink"] == 2.0
    assert (followed / "runs" / "cosine" / "model" / "model.safetensors").is_file()
