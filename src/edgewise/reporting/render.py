"""Templates to texts: pages that stand alone, Markdown and LaTeX.

A template ``NAME.html.j2`` escapes what it shows. In one of LaTeX, the filter ``latex`` does so,
and ``<< >>`` and ``<% %>`` stand where other templates have braces.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgewise.display import printable

_LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "*": "$^*$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
}
_LATEX_MARKS: dict[str, Any] = {
    "variable_start_string": "<<",
    "variable_end_string": ">>",
    "block_start_string": "<%",
    "block_end_string": "%>",
    "comment_start_string": "<#",
    "comment_end_string": "#>",
}


def render(template: str, **values: Any) -> str:
    """A text out of one of the package's templates.

    Args:
        template: its name without ``.j2``, such as ``run.html``.
        values: what it shows; one that it asks for and is not given is an error.
    """
    environment = _environment(template.endswith(".html"), template.endswith(".tex"))
    return environment.get_template(f"{template}.j2").render(**values)


def latex_escaped(text: str) -> str:
    """Text whose every letter LaTeX prints as it stands."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def data_address(png: bytes) -> str:
    """A picture as an address for ``<img>`` that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _shown(value: Any) -> Any:
    """What a template shows, without characters that would act instead of being shown."""
    return type(value)(printable(value)) if isinstance(value, str) else value


@cache
def _environment(is_html: bool, is_latex: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("edgewise.reporting"),
        autoescape=is_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
        **(_LATEX_MARKS if is_latex else {}),
    )
    environment.filters["latex"] = latex_escaped
    return environment
