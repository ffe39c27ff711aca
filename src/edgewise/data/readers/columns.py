"""Which column of a file is which field of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from edgewise.errors import ConfigError, DataError

# Spelled without case, underscores, hyphens and spaces; earlier names win.
ROW_ALIASES: dict[str, tuple[str, ...]] = {
    "user_id": (
        *("userid", "user", "uid", "reviewerid", "customerid", "memberid", "visitorid"),
        *("accountid", "clientid", "personid", "buyerid", "username", "customer"),
    ),
    "item_id": (
        *("itemid", "item", "iid", "parentasin", "asin", "movieid", "productid", "bookid"),
        *("businessid", "articleid", "trackid", "songid", "newsid", "isbn", "artistid", "venueid"),
        *("gameid", "appid", "recipeid", "beerid", "poiid", "videoid", "courseid", "animeid"),
        *("productcode", "stockcode", "sku", "product", "movie", "book"),
    ),
    "timestamp": (
        *("timestamp", "time", "ts", "unixreviewtime", "unixtime", "datetime", "date"),
        *("createdat", "reviewtime", "dateadded", "addedat", "reviewdate", "eventtime"),
        *("eventtimestamp", "utctime", "playedat", "purchasedate", "invoicedate", "orderdate"),
    ),
    "rating": ("rating", "overall", "stars", "starrating", "score", "bookrating", "reviewrating"),
    "review": ("review", "reviewtext", "text", "reviewbody", "comment"),
    "summary": ("summary", "headline", "reviewheadline", "reviewtitle", "reviewsummary"),
}
ITEM_ALIASES: dict[str, tuple[str, ...]] = {
    "item_id": (*ROW_ALIASES["item_id"], "id"),
    "title": ("title", "name", "movietitle", "itemname", "producttitle", "itemtitle", "booktitle"),
    "brand": ("brand", "store", "manufacturer", "author", "artist", "authors"),
    "categories": ("categories", "category", "genres", "genre", "class", "tags", "productcategory"),
    "description": ("description", "plot", "abstract"),
}
# Columns that part rows into kinds, of which people often want one.
KINDS = ("event", "eventtype", "behavior", "behaviortype", "action", "type", "interactiontype")
REQUIRED = {"row": ("user_id", "item_id"), "item": ("item_id",)}


def map_columns(
    available: Sequence[str], given: Mapping[str, str], where: str, *, items: bool = False
) -> dict[str, str]:
    """Our field names to the columns that hold them.

    Args:
        available: the file's column names.
        given: fields whose column the user has named; an empty name leaves the field out.
        where: the file, for messages.
        items: map the fields of a catalogue instead of those of interactions.

    Raises:
        ConfigError: ``given`` names an unknown field.
        DataError: a named column does not exist, or a field that must be there is not found.
    """
    aliases = ITEM_ALIASES if items else ROW_ALIASES
    mapping = guess_columns(available, items=items)
    for field, column in given.items():
        mapping[field] = check_column(field, column, available, aliases, where)
    mapping = {field: mapping[field] for field in aliases if mapping.get(field)}
    _require(mapping, REQUIRED["item" if items else "row"], available, where)
    return mapping


def looks_like_header(fields: Sequence[str], *, items: bool = False) -> bool:
    """Whether one of the fields is a name that columns of ids have."""
    aliases = ITEM_ALIASES if items else ROW_ALIASES
    names = {name for field in REQUIRED["item" if items else "row"] for name in aliases[field]}
    return any(_plain(field) in names for field in fields)


def kind_column(available: Sequence[str]) -> str | None:
    """A column that says of which kind each row is, such as ``view`` or ``purchase``."""
    return _guess(available, KINDS)


def guess_columns(available: Sequence[str], *, items: bool = False) -> dict[str, str]:
    """The fields whose columns go by a name that is known."""
    return {
        field: column
        for field, names in (ITEM_ALIASES if items else ROW_ALIASES).items()
        if (column := _guess(available, names)) is not None
    }


def by_place(available: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Columns given by their place, counted from 1, under their names."""
    places = {str(place): name for place, name in enumerate(available, start=1)}
    return {
        field: column if column in available else places.get(column, column)
        for field, column in given.items()
    }


def check_column(
    field: str,
    column: str,
    available: Sequence[str],
    aliases: Mapping[str, tuple[str, ...]],
    where: str,
) -> str:
    """The column as given, once field and column are known to exist."""
    if field not in aliases:
        close = get_close_matches(field, aliases, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"--column {field}={column}: unknown field {field!r}; fields are "
            f"{', '.join(aliases)}.{hint}"
        )
    if column and column not in available:
        raise DataError(
            f"{where}: --column {field}={column}: there is no column {column!r}; "
            f"the columns are {', '.join(available)}"
        )
    return column


def _guess(available: Sequence[str], names: tuple[str, ...]) -> str | None:
    plain = {_plain(column): column for column in reversed(available)}
    return next((plain[name] for name in names if name in plain), None)


def _plain(column: str) -> str:
    return column.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def _require(
    mapping: Mapping[str, str], required: Sequence[str], available: Sequence[str], where: str
) -> None:
    missing = [field for field in required if field not in mapping]
    if missing:
        option = "--item-column" if tuple(required) == REQUIRED["item"] else "--column"
        if any(name.replace(".", "").isdecimal() for name in available):
            raise DataError(
                f"{where}: no column for {' and '.join(missing)}, and the first line ("
                f"{', '.join(available)}) looks like a row: if the file has no line of names, give "
                f"the columns by place, such as {option} user_id=1 {option} item_id=2"
            )
        raise DataError(
            f"{where}: no column for {' and '.join(missing)}; the columns are "
            f"{', '.join(available)}. Name it with {option} {missing[0]}=COLUMN (in a delimited "
            "file without a header line, COLUMN may be a place counted from 1)."
        )
    twice = [column for column, count in Counter(mapping.values()).items() if count > 1]
    if twice:
        fields = [field for field, column in mapping.items() if column == twice[0]]
        raise ConfigError(f"{where}: column {twice[0]!r} was named for {' and '.join(fields)}")
