"""``report.html``: one file that explains itself, pictures included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from edgewise.evaluation.report import RankingReport
from edgewise.reporting.examples import ExplanationExample, Shown, UserExample
from edgewise.reporting.figures import learning_curves, vector_maps
from edgewise.reporting.metrics import metrics_table
from edgewise.reporting.style import CSS
from edgewise.reporting.wording import (
    CURVES,
    EXPLAINED,
    HOW_TO_READ,
    INTRODUCTION,
    MAPS,
    NEXT,
    TASKS,
    USERS,
)
from edgewise.runs.evaluate import TaskResult
from edgewise.runs.run import Run


@dataclass(frozen=True)
class Story:
    """Everything a report tells of a run."""

    run: Run
    results: Sequence[TaskResult]
    users: Sequence[UserExample]
    explanations: Sequence[ExplanationExample]


def render_page(story: Story) -> str:
    """The whole page; it loads nothing from anywhere."""
    title = f"{story.run.label} on {escape(story.run.dataset.name)}"
    sections = [
        _head(story.run, title),
        _section("How good is it?", [HOW_TO_READ, *map(_result, story.results)]),
        _section("How did it learn?", [CURVES, _curves(story.run)]),
        *_maps(story.run),
        _section("What does it recommend?", [USERS, _cards(map(_user, story.users))]),
    ]
    if story.explanations:
        cards = _cards(map(_explanation, story.explanations))
        sections.append(_section("How does it explain?", [EXPLAINED, cards]))
    names = {"run": escape(str(story.run.folder)), "method": story.run.info.method_name}
    sections.append(_section("How to go on", [NEXT.format(**names)]))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _head(run: Run, title: str) -> str:
    dataset, info = run.dataset, run.info
    facts = (
        f"{dataset.num_users:,} users, {dataset.num_items:,} items, "
        f"{len(dataset.interactions):,} purchases; {info.split_kind} split, seed "
        f"{info.config.seed}; trained for {info.training_seconds / 60:.1f} minutes on "
        f"{info.machine.get('gpu', info.machine['processor'])} ({info.machine['cores']} cores)."
    )
    return (
        f"<h1>{title}</h1>\n<p>{INTRODUCTION[info.method_name]} This page shows what came of it."
        f'</p>\n<p class="faint small">{escape(facts)}</p>'
    )


def _section(heading: str, parts: Iterable[str]) -> str:
    return "\n".join([f"<section>\n<h2>{heading}</h2>", *parts, "</section>"])


def _result(result: TaskResult) -> str:
    name, about = TASKS[result.task]
    first = next(iter(result.reports.values()))
    counted = f"{len(first.rows):,} " + ("users" if isinstance(first, RankingReport) else "pairs")
    return (
        f'<h3>{name} <span class="faint">({counted})</span></h3>\n<p>{about}</p>\n'
        f'<div class="scroll">{metrics_table(result.reports)}</div>'
    )


def _curves(run: Run) -> str:
    pictures = learning_curves(run)
    return (
        f'<picture><source srcset="{pictures["dark"]}" media="(prefers-color-scheme: dark)">'
        f'<img alt="learning curves" src="{pictures["light"]}"></picture>'
    )


def _maps(run: Run) -> list[str]:
    """The section of maps, if the method's vectors of users and items are known."""
    pictures = [
        f'<img class="paper" alt="{kind} before and after" src="{address}">'
        for kind, address in vector_maps(run).items()
    ]
    heading, words = MAPS.get(run.info.method_name, ("", ""))
    return [_section(heading, [words, *pictures])] if pictures else []


def _cards(cards: Iterable[str]) -> str:
    return '<div class="cards">\n' + "\n".join(cards) + "\n</div>"


def _user(user: UserExample) -> str:
    return (
        f'<div class="card"><h3>{escape(user.user_id)}</h3>\n'
        f'<div class="small faint">bought ({len(user.history)} newest of {user.history_length})'
        f"</div>\n{_items(user.history)}\n"
        f'<div class="small faint">recommended next</div>\n{_items(user.recommended)}\n'
        f'<div class="small faint">really bought next</div>\n{_items(user.taken)}</div>'
    )


def _items(items: Sequence[Shown]) -> str:
    lines = []
    for item in items:
        title = escape(item.title)
        marked = f'<span class="hit">{title} &#10003;</span>' if item.held_out else title
        lines.append(f'<li>{marked} <span class="small faint">{escape(item.shelf)}</span></li>')
    return f"<ol>{''.join(lines)}</ol>"


def _explanation(example: ExplanationExample) -> str:
    speaking = ", ".join(f"{escape(title)} ({share:.0%})" for title, share in example.speaking)
    return (
        f'<div class="card"><h3>{escape(example.item.title)} for {escape(example.user_id)}</h3>\n'
        f'<div class="small faint">the model writes</div>\n'
        f'<blockquote class="written">{escape(example.written)}</blockquote>\n'
        f'<div class="small faint">the user wrote</div>\n'
        f"<blockquote>{escape(example.own_words)}</blockquote>\n"
        f'<div class="small faint">what speaks for it in the history</div>\n'
        f"<p>{speaking or 'nothing the graph knows of'}</p></div>"
    )
