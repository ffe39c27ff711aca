"""A method that learns in no time, registered for the length of a test."""

from __future__ import annotations

import pytest
from tests.fake_method import FAKE

from edgewise.models.registry import METHODS, Method


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Method:
    """The method ``fake`` of :mod:`tests.fake_method`."""
    monkeypatch.setitem(METHODS, FAKE.name, FAKE)
    return FAKE
