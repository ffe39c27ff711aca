"""What ``edgewise serve`` refuses before a worker starts, and keys."""

from __future__ import annotations

import shutil
import socket
import tomllib

import polars as pl
import pytest
from tests.cli.conftest import Invoke

from edgewise.serving.keys import Keys
from edgewise.serving.store import StoredEvent, open_store


@pytest.fixture(scope="module")
def ease(edgewise: Invoke, shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("serve") / "ease"
    assert edgewise("fit", "ease", "--data", shop, "--out", out, "--quiet").exit_code == 0
    return out


def refused(edgewise: Invoke, *arguments) -> str:
    result = edgewise("serve", *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.output


def test_what_is_refused(edgewise: Invoke, ease, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name a run folder" in refused(edgewise)
    assert "is no run folder" in refused(edgewise, tmp_path)
    assert "no finished run is there" in refused(edgewise, "--models", tmp_path)
    assert "serve-key" in refused(edgewise, ease, "--host", "0.0.0.0")
    assert "serve-key" in refused(edgewise, ease, "--host", "::")
    assert "Did you mean" in refused(edgewise, ease, "--log-level", "warn")
    assert "--workers 0" in refused(edgewise, ease, "--workers", 0)
    assert "--deadline-ms 0" in refused(edgewise, ease, "--deadline-ms", 0)
    assert "--port 70000" in refused(edgewise, ease, "--port", 70000)
    assert "--store ftp://x" in refused(edgewise, ease, "--store", "ftp://x")
    (tmp_path / "bad.db").write_text("no store" * 1000)
    assert "cannot be used as a store" in refused(edgewise, ease, "--store", "bad.db")
    (tmp_path / "keys.toml").write_text("keys = []")
    assert "keys.toml" in refused(edgewise, ease, "--keys", "keys.toml")
    assert "--data" in refused(edgewise, ease, "--data", "nowhere")
    damaged = tmp_path / "damaged"
    shutil.copytree(ease, damaged)
    (damaged / "run.json").write_text("{}")
    assert "damaged" in refused(edgewise, damaged)


def test_a_port_that_is_taken(edgewise: Invoke, ease, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = refused(edgewise, ease, "--port", port, "--store", tmp_path / "s.db")
    assert f"--port {port}" in told and "choose another" in told


def test_events_as_a_table(edgewise: Invoke, tmp_path):
    store = open_store(tmp_path / "s.db")
    kinds = ["click", "dismiss", "purchase"]
    events = [StoredEvent(f"k{n}", f"u{n}", "i1", kind, 1000 + n) for n, kind in enumerate(kinds)]
    store.add_events(events)
    store.close()
    for form in ("csv", "parquet"):
        out = tmp_path / f"events.{form}"
        result = edgewise("serve-events", tmp_path / "s.db", "--out", out)
        assert result.exit_code == 0 and "--after 3" in result.output
        frame = pl.read_csv(out) if form == "csv" else pl.read_parquet(out)
        rows = [("u0", "i1", 1000, "click"), ("u2", "i1", 1002, "purchase")]
        assert frame.columns == ["user_id", "item_id", "timestamp", "kind"] and frame.rows() == rows
    out = tmp_path / "none.csv"
    assert edgewise("serve-events", tmp_path / "s.db", "--out", out, "--after", 3).exit_code == 0
    assert pl.read_csv(out).is_empty()
    for wrong in (("none.db", "--out", out), (tmp_path / "s.db", "--out", "x.txt")):
        assert edgewise("serve-events", *wrong).exit_code == 2


def test_a_key_is_shown_once(edgewise: Invoke, tmp_path):
    file = tmp_path / "keys.toml"
    asked = ("serve-key", "shop", "--scope", "read", "--scope", "events", "--file", file)
    result = edgewise(*asked)
    assert result.exit_code == 0, result.output
    key = result.output.strip().splitlines()[-1]
    found = Keys.read(file).find(key)
    assert found is not None and found.name == "shop" and found.scopes == {"read", "events"}
    more = ("serve-key", "o", "--scope", "admin", "--file", file, "--rate", 5)
    assert edgewise(*more).exit_code == 0
    parts = tomllib.loads(file.read_text())["keys"]
    assert [part["name"] for part in parts] == ["shop", "o"] and parts[1]["rate"] == 5
    assert edgewise(*asked).exit_code == 2  # the name is taken
    assert edgewise("serve-key", "x", "--scope", "all", "--file", file).exit_code == 2
