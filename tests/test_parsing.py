"""Files of ours are read within bounds, and each fault is told with the file and the field."""

from __future__ import annotations

import pytest

from edgewise.errors import DataError
from edgewise.parsing import Shape, parse_toml, read_json


class Thing(Shape):
    name: str
    sizes: dict[str, int]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "holds a list, and an object is wanted"),
        (b"\xff", r"not UTF-8 text \(byte 1\)"),
        (b'{"a":' * 100_000, "nested deeper than 40 levels"),
        (b'{"a":' * 41 + b"1" + b"}" * 41, "nested deeper than 40 levels"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": 9223372036854775808}', "a number of 19 digits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"sizes": {}}', "name is missing"),
        (b'{"name": 3, "sizes": {}}', "name is 3, but it should be a valid string"),
        (
            b'{"name": "x", "sizes": {"a": "b"}}',
            r"sizes\.a is 'b', but it should be a valid integer",
        ),
    ],
)
def test_a_bad_file_is_told(tmp_path, content, message):
    path = tmp_path / "thing.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"thing\.json: .*{message}.*; make another"):
        read_json(path, DataError, "make another", Thing)


def test_a_good_file_is_read_with_what_else_it_holds(tmp_path):
    path = tmp_path / "thing.json"
    path.write_text('\ufeff{"name": "x", "sizes": {"a": 1}, "more": [1.5]}', encoding="utf-8")
    values = read_json(path, DataError, "make another", Thing)
    assert values == {"name": "x", "sizes": {"a": 1}, "more": [1.5]}


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_json(tmp_path, DataError, "make another")
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path / "gone", DataError, "make another")


@pytest.mark.parametrize("text", ["a = " + "[" * 50_000, "a" + ".a" * 200_000 + " = 1"])
def test_deep_toml_is_refused_at_once(text):
    with pytest.raises(ValueError, match=r"longer than|deeper than"):
        parse_toml(text)
