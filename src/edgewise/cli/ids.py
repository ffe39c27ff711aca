"""Ids as people type them and as their files hold them, and the ids of a data set that are meant.

Spellings that tables lose on their way are forgiven where the data set has one that can only be
meant: spaces and quotes around an id, and ``1.0`` or ``1e+05`` for whole numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from edgewise.cli.output import warn
from edgewise.config import check
from edgewise.errors import ConfigError, UnknownIdError
from edgewise.parsing import parse_json

if TYPE_CHECKING:
    from edgewise.data.dataset import Catalog, Vocabulary

# Options of all commands that list items.
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ITEMS|FILE", help="Items never to list: I,I,... or a file."),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ITEMS|FILE", help="List these items only: I,I,... or a file."),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="NAME=VALUE",
        help="List only items of this brand, or in this category (categories=...); repeatable: "
        "values of one name are alternatives.",
    ),
]
IncludeSeenOption = Annotated[
    bool, typer.Option("--include-seen", help="Lists may hold what the users have.")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="int8 answers with matrices of 8-bit integers, faster on a processor and a little "
        "less exact; fp32 without. Of language models; the run's own if absent."
    ),
]

_FILES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet")
_SEPARATORS = ",\t;|"
_LONGEST_ID = 9  # commas in an id that is typed in a list without escapes
_DIGITS = 40
_SHOWN = 3


@dataclass(frozen=True)
class Typed:
    """An id as it was given.

    Attributes:
        id: the text.
        place: the option, or the file and its line.
        user: whose candidate it is, where a file says so.
    """

    id: str
    place: str
    user: str = ""


@dataclass(frozen=True)
class IdFinder:
    """Finds ids of a data set.

    Attributes:
        vocabulary: of the data set.
        skip_unknown: leave unknown ids out with a warning.
        hint: what else a message about an unknown id says.
    """

    vocabulary: Vocabulary
    skip_unknown: bool = False
    hint: str = ""

    def find(self, text: str) -> str | None:
        """The id that a text can only mean; None where there is none."""
        bare = text.strip()
        quoted = len(bare) > 1 and bare[0] == bare[-1] == '"'
        for spelled in (text, bare, bare[1:-1].replace('""', '"') if quoted else bare):
            if spelled in self.vocabulary:
                return spelled
        whole = _whole_number(bare.strip('"'))
        numbers = () if whole is None else (whole, f"{whole}.0")
        return next((number for number in numbers if number in self.vocabulary), None)

    def known(self, given: Iterable[Typed], *, once: bool = True) -> list[str]:
        """The ids that the data set has, each once unless the list is a history.

        Raises:
            UnknownIdError: an id is unknown; where it stands, and ids that exist, are named.
        """
        found: list[str] = []
        unknown: list[Typed] = []
        respelled: list[tuple[Typed, str]] = []
        for typed in self._apart(given):
            raw_id = self.find(typed.id)
            if raw_id is None:
                unknown.append(typed)
                continue
            found.append(raw_id)
            bare = typed.id.strip(' "')
            if raw_id != bare and _whole_number(bare) == _whole_number(raw_id) is not None:
                respelled.append((typed, raw_id))
        if respelled:
            typed, raw_id = respelled[0]
            kind = self.vocabulary.kind
            warn(f"{typed.place}: {typed.id!r} is read as the {kind} {raw_id!r}{_more(respelled)}")
        if unknown:
            self._tell(unknown)
        return list(dict.fromkeys(found)) if once else found

    def one(self, option: str, text: str) -> str:
        """The one id that an option names, ``\\,`` being a comma."""
        plain = text if self.find(text) is not None else text.replace("\\,", ",")
        (raw_id,) = self.known([Typed(plain, option)])
        return raw_id

    def _apart(self, given: Iterable[Typed]) -> Iterator[Typed]:
        """The ids one by one, where a line of a file has several with commas between them."""
        for typed in given:
            listed = "," in typed.id and self.find(typed.id) is None
            parts = _joined(_split(typed.id), self) if listed else []
            if parts and all(self.find(part) is not None for part in parts):
                yield from (replace(typed, id=part) for part in parts)
            else:
                yield typed

    def _tell(self, unknown: list[Typed]) -> None:
        kind = self.vocabulary.kind
        if self.skip_unknown:
            names = ", ".join(repr(typed.id) for typed in unknown[:_SHOWN])
            warn(f"{unknown[0].place}: skipped: unknown {kind} id {names}{_more(unknown, _SHOWN)}")
            return
        try:
            self.vocabulary.index_of(unknown[0].id)
        except UnknownIdError as error:
            hint = f" {self.hint}" if self.hint else ""
            message = f"{unknown[0].place}: {error}{_more(unknown)}{hint}"
            raise UnknownIdError(message) from None


def given_ids(option: str, values: Sequence[str], finder: IdFinder) -> list[Typed]:
    """Ids typed after an option: an id, a list with commas, or a file of ids.

    An id goes before a file of the same name. A comma within an id is typed ``\\,``, or the id in
    double quotes; where parts of a list are no ids but together they are one, that one is meant.

    Raises:
        ConfigError: a file cannot be read, or what looks like a file is not there.
    """
    found: list[Typed] = []
    for value in values:
        if finder.find(value) is not None:
            found.append(Typed(value, option))
            continue
        if _is_file(value):
            found += read_ids(Path(value), finder.vocabulary.kind)
            continue
        parts = _joined(_split(value), finder)
        lost = len(parts) == 1 and finder.find(parts[0]) is None and value.endswith(_FILES)
        check(not lost, f"{option} {value}: no such file, and no {finder.vocabulary.kind} id")
        found += [Typed(part, option) for part in parts]
    return found


def given_filters(values: Sequence[str] | None) -> dict[str, list[str]] | None:
    """Values by attribute of ``--filter NAME=VALUE`` options; None where there are none.

    Raises:
        ConfigError: an option is written otherwise.
    """
    found: dict[str, list[str]] = {}
    for text in values or ():
        name, equals, value = text.partition("=")
        told = f"--filter {text}: write it as NAME=VALUE, such as --filter 'brand=Dove'"
        check(bool(equals and name.strip() and value.strip()), told)
        found.setdefault(name.strip(), []).append(value.strip())
    return found or None


def checked_filters(values: Sequence[str] | None, catalog: Catalog) -> dict[str, list[str]] | None:
    """The same, of attributes and values that items of a data set have.

    Raises:
        ConfigError: no item has one; the nearest is named.
    """
    found = given_filters(values)
    if found:
        from edgewise.data.item_facets import ItemFacets

        ItemFacets.of(catalog).fits(found)
    return found


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # longer than a name can be
        return False


def _split(text: str) -> list[str]:
    """The parts between commas, ``\\,`` being no such comma, nor one in a quoted part."""
    if re.search(r'(^|,)\s*"', text):
        parts = next(csv.reader([text], skipinitialspace=True), [])
    else:
        parts = [part.replace("\\,", ",") for part in re.split(r"(?<!\\),", text)]
    return [part for part in parts if part.strip()]


def _joined(parts: list[str], finder: IdFinder) -> list[str]:
    """Neighbouring parts that are an id together, and none apart, as one."""
    found: list[str] = []
    start = 0
    while start < len(parts):
        ends = range(start + 1, min(len(parts), start + _LONGEST_ID) + 1)
        joined = ((end, ",".join(parts[start:end])) for end in ends)
        fits = ((end, text) for end, text in joined if finder.find(text) is not None)
        end, text = next(fits, (start + 1, parts[start]))
        found.append(text)
        start = end
    return found


def _whole_number(text: str) -> str | None:
    """``1`` of ``1``, ``1.0`` or ``1e+00``; None where the text is no whole number."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > _DIGITS or number != int(number):
        return None
    return str(int(number))


def _more(many: Sequence[Any], told: int = 1) -> str:
    return f" (and {len(many) - told:,} more)" if len(many) > told else ""


# Files


def read_ids(path: Path, kind: str) -> list[Typed]:
    """The ids of a file: one a line, a table with a column of them, JSON or Parquet.

    Args:
        path: a table has a header line; its columns are recognised as those of an import are.
        kind: ``user`` or ``item``; items of a table with a column of users, too, have a user.

    Raises:
        ConfigError: there is none, or the file cannot be read.
    """
    rows = list(each_id(path, kind))
    check(bool(rows), f"{path}: no {kind} ids in this file")
    return rows


def each_id(path: Path, kind: str) -> Iterator[Typed]:
    """:func:`read_ids` one by one; of a text, a table or Parquet, in little memory.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        yield from (row for row in _rows(path, kind) if row.id.strip())
    except csv.Error as error:
        raise ConfigError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from None


def for_everybody(option: str, given: Sequence[Typed]) -> Sequence[Typed]:
    """The ids, refused where a file has them by user.

    Raises:
        ConfigError: the file has items of several users.
    """
    users = sorted({typed.user for typed in given})
    check(
        len(users) <= 1,
        f"{option}: {given[0].place if given else ''} and the rows after it have items of several "
        f"users ({', '.join(users[:_SHOWN])}{_more(users, _SHOWN)}); give one list of items",
    )
    return given


def _rows(path: Path, kind: str) -> Iterator[Typed]:
    if path.suffix == ".parquet":
        from edgewise.data.dataset import read_parquet

        table = read_parquet(path, ConfigError, "give a Parquet file with a column of ids")
        yield from _from_records(path, table.iter_rows(named=True), kind)
    elif path.suffix == ".json":
        yield from _from_json(path, _parsed(path.read_text(encoding="utf-8-sig"), str(path)), kind)
    elif path.suffix == ".jsonl":
        yield from _from_records(path, _json_lines(path), kind)
    else:
        yield from _from_text(path, kind)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers from 1 on."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.rstrip("\n")


def _json_lines(path: Path) -> Iterator[Any]:
    for number, line in _lines(path):
        yield _parsed(line, f"{path}:{number}")


def _from_text(path: Path, kind: str) -> Iterator[Typed]:
    lines = _lines(path)
    first, header = next(lines, (1, ""))
    second = next(lines, None)
    for separator in _SEPARATORS:
        names = next(csv.reader([header], delimiter=separator), [])
        if len(names) > 1 and any(_column(each, names) for each in ("user_id", "item_id")):
            yield from _from_table(path, separator, kind)
            return
        check(
            len(names) <= 1 or path.suffix not in (".csv", ".tsv"),
            f"{path}:{first}: the first line, {header!r}, names no column of {kind}s. A table "
            "starts with the names of its columns, such as user_id,item_id; an id that has commas "
            "stands in double quotes",
        )
    bare = header.strip().strip('"')
    other = "user_id" if kind == "item" else "item_id"
    check(
        not _column(other, [bare]) or second is None,
        f"{path}:{first}: {bare!r} names a column of other ids; {kind} ids are wanted",
    )
    if header and not _column(f"{kind}_id", [bare]):
        yield Typed(header, f"{path}:{first}")
    for number, line in chain([second] if second else (), lines):
        yield Typed(line, f"{path}:{number}")


def _from_table(path: Path, separator: str, kind: str) -> Iterator[Typed]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from _table_rows(path, file, separator, kind)


def _table_rows(path: Path, file: TextIO, separator: str, kind: str) -> Iterator[Typed]:
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(file, delimiter=separator, quoting=quoting, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            place = f"{path}:{reader.line_num}"
            if header is None:
                header, read = row, _reader_of(row, kind, place)
                continue
            check(
                len(row) == len(header),
                f"{place}: {len(row)} values, and the first line names {len(header)} columns",
            )
            yield read(row, place)
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: {error}") from None


def _reader_of(header: Sequence[str], kind: str, place: str) -> Callable[[Any, str], Typed]:
    """What reads a row of a table into an id, and the user of a candidate."""
    column = _column(f"{kind}_id", header)
    if column is None:
        raise ConfigError(f"{place}: no column of {kind} ids; the columns are {', '.join(header)}")
    at = header.index(column)
    owner = _column("user_id", header) if kind == "item" else None
    by = None if owner is None else header.index(owner)

    def read(row: Sequence[Any], place: str) -> Typed:
        user = "" if by is None else row[by]
        lacking = kind if not row[at].strip() else "user"
        complete = row[at].strip() and (by is None or user.strip())
        check(bool(complete), f"{place}: the {lacking} is missing in this row")
        return Typed(row[at], place, user)

    return read


def _parsed(text: str, place: str) -> Any:
    """JSON, numbers as they are spelled."""

    try:
        return parse_json(text, numbers_as_text=True)
    except ValueError as error:
        raise ConfigError(f"{place}: not valid JSON ({error})") from None


def _from_json(path: Path, values: Any, kind: str, user: str = "") -> Iterator[Typed]:
    """Ids of a list of ids or records, or of an object from user ids to such lists."""
    if isinstance(values, dict) and kind == "item" and not user:
        for owner, row in values.items():
            yield from _from_json(path, row, kind, owner)
        return
    if not isinstance(values, list):
        wanted = f"a list of {kind} ids is wanted"
        check(kind == "user", f"{path}: {wanted}, or an object from user ids to such lists")
        raise ConfigError(f"{path}: {wanted}")
    yield from _from_records(path, values, kind, user)


def _from_records(path: Path, values: Iterable[Any], kind: str, user: str = "") -> Iterator[Typed]:
    """Ids one by one; what is a record has one in a column."""
    for number, value in enumerate(values, start=1):
        place = f"{path}, entry {number}" + (f" of {user!r}" if user else "")
        if not isinstance(value, dict):
            yield Typed(_spelled(value, place), place, user)
            continue
        names = list(value)
        owner = _column("user_id", names)
        if kind == "item" and owner and isinstance(value.get("items"), list):  # of recommend
            yield from _from_json(path, value["items"], kind, _spelled(value[owner], place))
            continue
        cells = [_spelled(value[name], place) if _is_id(name) else "" for name in names]
        row = _reader_of(names, kind, place)(cells, place)
        yield Typed(row.id, place, user or row.user)


def _column(field: str, names: Sequence[str]) -> str | None:
    """The first of the names that an import would read the field from."""
    from edgewise.data.readers.columns import ROW_ALIASES

    def plain(name: str) -> str:
        return re.sub(r"[\s_-]", "", name.lower())

    fits = (n for alias in ROW_ALIASES[field] for n in names if plain(n) == alias)
    return next(fits, None)


def _is_id(name: str) -> bool:
    return any(_column(field, [name]) for field in ("user_id", "item_id"))


def _spelled(value: Any, place: str) -> str:
    """An id of a JSON file or a table with types.

    Raises:
        ConfigError: it is neither a text nor a number.
    """
    valid = isinstance(value, str | int | float) and not isinstance(value, bool) and value == value
    check(valid, f"{place}: {value!r} is no id; ids are texts or numbers")
    return str(value)
