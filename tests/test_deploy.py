"""Files of deploy/: what they start exists, and starts safely."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from edgewise.cli.main import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def load_rehearsal() -> ModuleType:
    spec = spec_from_file_location("rehearse", DEPLOY / "rehearse.py")
    assert spec is not None and spec.loader is not None
    found = sys.modules["rehearse"] = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


LINES = list(load_rehearsal().instructions(DEPLOY / "Containerfile"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
UNIT = (DEPLOY / "edgewise.service").read_text()


def last(word: str) -> str:
    return [rest for name, rest in LINES if name == word][-1]


def starts() -> dict[str, list[str]]:
    """What each file runs, after ``edgewise``."""
    unit = re.search(r"^ExecStart=\S+/edgewise (.*)$", UNIT, re.MULTILINE)
    assert unit is not None
    assert json.loads(last("ENTRYPOINT")) == ["edgewise"]
    parts = COMPOSE["services"]["service"]["command"]
    return {
        "container": json.loads(last("CMD")),
        "compose": [word for part in parts for word in part.split("=", 1)],
        "systemd": unit[1].split(),
    }


@pytest.mark.parametrize("file", ["container", "compose", "systemd"])
def test_options_exist(file: str) -> None:
    import typer

    words = starts()[file]
    _, command, _ = typer.main.get_command(app).resolve_command(None, words)  # type: ignore
    known = {option for each in command.params for option in each.opts}
    options = [word for word in words if word.startswith("--")]
    assert options and set(options) <= known
    assert "--keys" in options and "--store" in options


def test_the_container_copies_what_there_is_and_what_is_let_through() -> None:
    kept = (DEPLOY / "Containerfile.dockerignore").read_text().split()
    assert kept[0] == "*"
    copied = [rest.split()[:-1] for word, rest in LINES if word == "COPY"]
    names = {name for row in copied if not row[0].startswith("--") for name in row}
    assert {f"!{name}" for name in names} == {line for line in kept if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)


def test_the_container_is_nobodys_root_and_is_asked_whether_it_is_ready() -> None:
    words = [word for word, _ in LINES]
    assert last("USER") == "10001:10001"
    assert "useradd --uid 10001" in last("RUN")
    assert words.index("USER") < words.index("ENTRYPOINT")
    check = json.loads(last("HEALTHCHECK").partition("CMD")[2])
    compile(check[-1], "HEALTHCHECK", "exec")
    assert "127.0.0.1:8000/health/ready" in check[-1]


def test_compose_keeps_events_and_lets_nobody_in() -> None:
    pytest.importorskip("redis")
    from edgewise.serving.redis_store import warnings_of

    service, redis = COMPOSE["services"]["service"], COMPOSE["services"]["redis"]
    words = redis["command"][1:]
    settings = {name[2:]: value for name, value in zip(words[::2], words[1::2], strict=True)}
    assert settings["appendfsync"] == "always" and not warnings_of(settings)
    assert "ports" not in redis and redis["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for each in (service, redis):
        assert each["read_only"] is True and each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert (DEPLOY / COMPOSE["services"]["service"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).exists()


def test_the_docs_show_the_unit_as_it_is() -> None:
    shown = re.search(r"```ini\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), re.DOTALL)
    assert shown is not None
    assert set(shown[1].splitlines()) <= set(UNIT.splitlines())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent")
def test_the_unit_is_one(tmp_path: Path) -> None:
    copy = tmp_path / "edgewise.service"
    copy.write_text(UNIT.replace("/opt/edgewise/bin/edgewise", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60
    )
    told = [line for line in done.stderr.splitlines() if "edgewise.service" in line]
    assert not told
