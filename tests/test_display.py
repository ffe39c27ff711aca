"""What would act on a terminal is replaced, and nothing else."""

from __future__ import annotations

import json

import pytest

from edgewise.display import json_text, one_line, printable


@pytest.mark.parametrize(
    "code", [0, 7, 8, 13, 27, 127, 0x9B, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xD800]
)
def test_what_acts_is_replaced(code):
    assert printable(f"a{chr(code)}b") == "a\ufffdb"


@pytest.mark.parametrize(
    "text", ["tab\tand\nline", "Ü, é", "[/] :heart:", "👩‍🔬", "می‌خواهم", "日本"]
)
def test_letters_stay(text):
    assert printable(text) == text


def test_one_line():
    assert one_line("a\n  b\x1b") == "a b\ufffd"


def test_json_stays_the_same_data():
    values = {"a": "\x1b\x9b\u202eé"}
    text = json_text(values)
    assert printable(text) == text and json.loads(text) == values and "é" in text
