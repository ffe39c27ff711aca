"""Run the Containerfile's commands as they stand, where no container engine can.

    sudo python deploy/rehearse.py RUN DATA KEYS [--torch-index URL] [--key KEY]

Each stage is this machine's file system under a layer of its own (overlayfs in a mount namespace),
so that it needs root, Linux, and 4 GB of memory; nothing of the machine is changed. Commands run in
it by chroot, in order, with the ARG, ENV, WORKDIR and USER that they have in the file. At the end
the service is started with its file system read-only, must pass the HEALTHCHECK, answer one
request, and stop by itself on SIGTERM. What differs from a container: the base image is this
machine, its network and process numbers are shared, and nothing limits memory or system calls.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
_WORK = Path("/run/edgewise-rehearsal")
_NEEDED = ("PIP_", "SSL_", "HTTP", "NO_PROXY", "http", "no_proxy")
_START_SECONDS, _STOP_SECONDS = 120, 40


def instructions(path: Path) -> Iterator[tuple[str, str]]:
    """Words and what follows them, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


@dataclass(eq=False)
class Stage:
    """A file system that grows by instructions.

    Attributes:
        root: where it is mounted.
        layer: what was written in it.
        variables: ARG and ENV.
    """

    name: str
    root: Path = field(init=False)
    layer: Path = field(init=False)
    variables: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    health: list[str] = field(default_factory=list)
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        place = _WORK / self.name
        self.root, self.layer = place / "root", place / "layer"
        for part in (self.root, self.layer, place / "work"):
            part.mkdir(parents=True)
        layers = f"lowerdir=/,upperdir={self.layer},workdir={place / 'work'}"
        mount("-t", "overlay", "overlay", "-o", layers, self.root)
        for part in ("proc", "sys", "dev"):
            mount("--rbind", f"/{part}", self.root / part)
        python = Path(sys.executable).resolve()
        for parent in python.parents[:-1]:
            inside = self.root / str(parent).lstrip("/")
            inside.chmod(inside.stat().st_mode | 0o055)
        path = f"{python.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.variables = {"PATH": path, **self.variables}

    @property
    def environment(self) -> dict[str, str]:
        """Of its commands; packages are found as on this machine."""
        own = {name: value for name, value in os.environ.items() if name.startswith(_NEEDED)}
        return own | self.variables

    def expand(self, text: str) -> str:
        """With the variables so far."""
        found = self.variables
        return re.sub(r"\$\{?(\w+)\}?", lambda match: found.get(match[1], ""), text)

    def chroot(self, words: list[str]) -> list[str]:
        """The command line that runs words in here, as the user and in the folder of now."""
        enter = f'cd "{self.folder}" && exec "$@"'
        user = ["chroot", f"--userspec={self.user}", "--groups=", str(self.root)]
        return [*user, "/bin/sh", "-c", enter, "sh", *words]

    def run(self, words: list[str]) -> None:
        subprocess.run(self.chroot(words), env=self.environment, check=True)


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def build(path: Path, arguments: dict[str, str]) -> Stage:
    """All stages; returns the last one."""
    stages: dict[str, Stage] = {}
    stage = Stage("none")
    for word, rest in instructions(path):
        print(f"# {word} {rest}", flush=True)
        if word == "FROM":
            name = rest.partition(" AS ")[2] or f"stage{len(stages)}"
            stage = stages[name] = Stage(name)
        elif word == "ARG":
            name, _, value = rest.partition("=")
            stage.variables[name] = arguments.get(name, value)
        elif word == "ENV":
            pairs = re.findall(r"(\w+)=(\S+)", rest)
            stage.variables |= {name: stage.expand(value) for name, value in pairs}
        elif word == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            stage.user = rest
        elif word == "COPY":
            _copy(stage, stages, rest.split())
        elif word == "RUN":
            stage.run(["/bin/sh", "-c", rest])
        elif word == "VOLUME":
            stage.volumes += json.loads(rest)
        elif word == "HEALTHCHECK":
            stage.health = json.loads(rest.partition("CMD")[2])
        elif word == "ENTRYPOINT":
            stage.entry = json.loads(rest)
        elif word == "CMD":
            stage.command = json.loads(rest)
        elif word != "EXPOSE":
            sys.exit(f"{path}: {word} is not known here")
    return stage


def _copy(stage: Stage, stages: dict[str, Stage], words: list[str]) -> None:
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).partition("=")[2]].root
    *names, target = words
    place = stage.root / str(Path(stage.folder, target)).lstrip("/")
    for name in names:
        origin = source / name.lstrip("/")
        if origin.is_file():
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, place)
        elif source == ROOT:
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(origin, place, dirs_exist_ok=True, ignore=skip)
        else:  # a layer that is finished: seen, not copied
            place.mkdir(parents=True)
            mount("--bind", origin, place)


def serve(stage: Stage, run: Path, data: Path, keys: Path, key: str) -> None:
    """Start the service as a container would, ask it, and stop it."""
    state = _WORK / "volume"
    shutil.copytree(stage.root / stage.volumes[0].lstrip("/"), state)
    given = {"model": run, "data": data, "run/secrets/keys": keys}
    for place, source in given.items():
        target = stage.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(exist_ok=True) if source.is_dir() else target.touch()
        copy = _WORK / "given" / place  # which the user of the container may read
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        mount("--bind", copy, target)
        mount("-o", "remount,ro,bind", target)
    volume = stage.root / stage.volumes[0].lstrip("/")
    mount("--bind", state, volume)
    user = stage.user.replace(":", " ").split()
    os.chown(volume, int(user[0]), int(user[1]))
    mount("-t", "tmpfs", "tmpfs", stage.root / "tmp")
    mount("-o", "remount,ro", stage.root)
    words = [*stage.entry, *stage.command]
    print("$", *words, flush=True)
    service = subprocess.Popen(stage.chroot(words), env=stage.environment)
    end = time.monotonic() + _START_SECONDS
    health = stage.chroot(stage.health)
    while subprocess.run(health, env=stage.environment, stderr=subprocess.DEVNULL).returncode:
        if service.poll() is not None or time.monotonic() > end:
            sys.exit("the service does not become healthy")
        time.sleep(1)
    print("healthy", flush=True)
    asked = Request(
        "http://127.0.0.1:8000/v1/recommend",
        json.dumps({"history": [], "k": 3}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    with urlopen(asked) as answer:
        print(answer.read().decode(), flush=True)
    print("of the volume:", *sorted(each.name for each in state.iterdir()), flush=True)
    service.send_signal(signal.SIGTERM)
    status = service.wait(_STOP_SECONDS)
    print("ended with status", status, flush=True)
    if status != 0:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the Containerfile as it stands.")
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("keys", type=Path)
    parser.add_argument("--key", default="", help="one of the file's, to ask with")
    parser.add_argument("--torch-index", default="")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.inside:  # in a mount namespace of its own, which takes all mounts with it
        words = ["unshare", "--mount", sys.executable, *sys.argv, "--inside"]
        sys.exit(subprocess.run(words).returncode)
    _WORK.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", _WORK)
    arguments = {"TORCH_INDEX": asked.torch_index}
    stage = build(ROOT / "deploy" / "Containerfile", arguments)
    serve(stage, asked.run.resolve(), asked.data.resolve(), asked.keys.resolve(), asked.key)


if __name__ == "__main__":
    main()
