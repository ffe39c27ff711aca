"""Seals name the field that was changed."""

from __future__ import annotations

import json

import pytest

from edgewise.errors import DataError
from edgewise.seals import SEAL, check_fields, content_digest, seal_fields

VALUES = {"kind": "run", "split": {"kind": "ratio", "seed": 3}, "rate": 0.1, "none": None}


def check(values) -> None:
    check_fields(values, "run.json", "Fit again.", DataError)


def test_what_was_sealed_is_taken_in_any_order_and_spelling():
    sealed = json.loads(json.dumps(seal_fields(VALUES), indent=7))
    check(dict(reversed(sealed.items())))
    assert seal_fields(sealed) == sealed, "the old seal is replaced"
    # Of printf '{"a":1}' | sha256sum
    digest = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert content_digest({"a": 1}) == digest


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v["split"].update(kind="time"), r'split\.kind = "time"\. Fit again\.'),
        (lambda v: v.update(rate=0.2, none=0), "rate = 0.2, none = 0"),
        (lambda v: v["split"].pop("seed"), r"split\.seed \(removed\)"),
        (lambda v: v.update(split={}), r"split\.kind \(removed\), split\.seed \(removed\)"),
        (lambda v: v.update(split="ratio"), 'split = "ratio", split.kind .removed'),
        (lambda v: v.update(more=1), "more = 1"),
        (lambda v: v.update(kind="x" * 99), "changed after it was written: kind. Fit"),
        (lambda v: v.pop(SEAL), "the field 'seal' is missing"),
        (lambda v: v.update({SEAL: "none"}), "the field 'seal' is missing or damaged"),
        (lambda v: (v.pop("kind"), v[SEAL].pop("kind")), "a field was changed together with"),
    ],
)
def test_changes_are_named(change, told):
    values = seal_fields(json.loads(json.dumps(VALUES)))
    change(values)
    with pytest.raises(DataError, match=rf"^run\.json: .*{told}"):
        check(values)
