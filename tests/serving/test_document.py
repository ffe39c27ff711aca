"""Requests drawn from the OpenAPI document (schemathesis): no server error, no other answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from edgewise.serving.app import ServeSettings, create_app
from edgewise.serving.keys import new_key

_EXAMPLES = int(os.environ.get("EDGEWISE_EXAMPLES", 4))
CHECKS = [
    *(not_a_server_error, status_code_conformance),
    *(content_type_conformance, response_schema_conformance),
]


@pytest.fixture(scope="module")
def client(ease_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("document")
    key = new_key(folder / "keys.toml", "owner", ["admin"])
    told = ServeSettings((str(ease_run),), str(folder / "store.db"), keys=str(folder / "keys.toml"))
    headers = {"Authorization": f"Bearer {key}"}
    app = create_app(told)
    with TestClient(app, base_url="http://127.0.0.1", headers=headers) as client:
        client._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
        yield client


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_answers_are_as_the_document_says(client: TestClient, mode):
    document = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    asked = 0
    for found in document.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case):
            nonlocal asked
            asked += 1
            request = case.as_transport_kwargs(base_url="http://127.0.0.1")
            request.pop("cookies", None)
            if isinstance(request.get("data"), bytes):
                request["content"] = request.pop("data")
            answer = client.request(**request)
            case.validate_response(answer, checks=CHECKS)

        try:
            check()
        except Exception as error:
            if "negative" not in str(mode).lower() or "Unsatisfiable" not in type(error).__name__:
                raise
    assert asked > 30
