"""A page of tables that sorts at a click, with pictures inside; it loads nothing from anywhere.

It knows nothing of experiments: :mod:`edgewise.reporting.page_parts` says what it is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from edgewise.reporting.page_parts import Head, PagePicture, PageTable, Section, TableCell
from edgewise.reporting.sorting import SCRIPT
from edgewise.reporting.style import CSS
from edgewise.reporting.tables_style import TABLES_CSS


def render_tables(
    title: str,
    words: Sequence[str],
    sections: Sequence[Section],
    warnings: Sequence[str] = (),
) -> str:
    """The whole page; warnings stand above everything else."""
    links = "".join(f'<li><a href="#{s.anchor}">{escape(s.title)}</a></li>' for s in sections)
    contents = f'<nav aria-label="contents"><ul>{links}</ul></nav>' if len(sections) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}{TABLES_CSS}</style>\n</head>\n<body>\n"
        f"{_warnings(warnings)}<h1>{escape(title)}</h1>\n{_paragraphs(words)}\n{contents}\n"
        + "\n".join(map(_section, sections))
        + f"\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    pictures = "".join(map(_picture, section.pictures))
    gallery = f'<div class="gallery">{pictures}</div>' if pictures else ""
    tables = "\n".join(map(_with_words, section.tables))
    return (
        f'<section id="{section.anchor}">\n<h2>{escape(section.title)}</h2>\n'
        f"{_warnings(section.warnings)}{_paragraphs(section.words)}\n{gallery}\n{tables}\n"
        "</section>"
    )


def _picture(picture: PagePicture) -> str:
    alt, kind = escape(picture.title), ' class="wide"' if picture.wide else ""
    image = f'<img class="paper" alt="{alt}" src="{picture.address}">'
    if picture.wide:
        image = f'<div class="scroll" tabindex="0" role="region" aria-label="{alt}">{image}</div>'
    return f"<figure{kind}>{image}<figcaption>{alt}</figcaption></figure>"


def _with_words(table: PageTable) -> str:
    more = ""
    if table.more is not None:
        more = (
            f"<details><summary>{escape(table.more.title)}</summary>{_table(table.more)}</details>"
        )
    body, title = f"{_table(table)}\n{_small(table.notes)}\n{more}", escape(table.title)
    if table.folded:
        words = f'{title} <span class="faint">({escape(table.folded)})</span>'
        return f"<details><summary>{words}</summary>{body}</details>"
    return f"<h3>{title}</h3>\n{body}"


def _table(table: PageTable) -> str:
    rows = "\n".join(_row(row, n in table.strong) for n, row in enumerate(table.rows))
    head = _groups(table.heads) + f"<tr>{''.join(map(_head, table.heads))}</tr>"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f'<table class="sortable">\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _groups(heads: Sequence[Head]) -> str:
    """The upper line of heads: neighbours that share a group share a cell."""
    if not any(head.group for head in heads):
        return ""
    spans: list[tuple[str, int]] = []
    for head in heads:
        if spans and spans[-1][0] == head.group:
            spans[-1] = (head.group, spans[-1][1] + 1)
        else:
            spans.append((head.group, 1))
    cells = (f'<th class="group" colspan="{n}">{escape(name)}</th>' for name, n in spans)
    return f"<tr>{''.join(cells)}</tr>"


def _head(head: Head) -> str:
    kind = ' class="leaks"' if head.warning else ""
    return f'<th{kind}><button type="button">{escape(head.text)}</button></th>'


def _row(cells: Sequence[TableCell], strong: bool) -> str:
    first, *others = cells
    kind = ' class="strong"' if strong else ""
    name = f'<th scope="row"{_value(first)}>{escape(first.text)}</th>'
    return f"<tr{kind}>{name}{''.join(map(_cell, others))}</tr>"


def _cell(cell: TableCell) -> str:
    words = escape(cell.text)
    if cell.mark:
        words = f'<span class="{cell.mark}">{words}</span>'
    small = "".join(f'<span class="spread">{escape(line)}</span>' for line in cell.small)
    kind = "number missing" if cell.faint else "number"
    return f'<td class="{kind}"{_value(cell)}>{words}{small}</td>'


def _value(cell: TableCell) -> str:
    return "" if cell.value is None else f' data-value="{escape(str(cell.value))}"'


def _paragraphs(words: Iterable[str]) -> str:
    return "\n".join(f"<p>{escape(each)}</p>" for each in words)


def _warnings(words: Iterable[str]) -> str:
    return "".join(f'<p class="warning" role="note">{escape(each)}</p>\n' for each in words)


def _small(notes: Iterable[str]) -> str:
    return "".join(f'<p class="faint small">{escape(each)}</p>' for each in notes)
