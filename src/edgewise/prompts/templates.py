"""The wordings of the three tasks, as data.

A wording is words and slots separated by single spaces, so that every word is tokenised apart from
its neighbours. Slots: ``{user}``, ``{item}``, ``{history}`` (items, oldest first) and
``{candidates}``. The short wording of a task, ids alone, follows the distilled prompt vectors
(Section 3.1, Fig. 2).
"""

from __future__ import annotations

from typing import Literal, get_args

Task = Literal["explanation", "sequential", "direct"]
TASKS: tuple[Task, ...] = get_args(Task)

SHORT_WORDING: dict[Task, str] = {
    "explanation": "{user} {item}",
    "sequential": "{user} {history}",
    "direct": "{user} {candidates}",
}

WORDINGS: dict[Task, tuple[str, ...]] = {
    "explanation": (
        "Tell {user} in one line why {item} is worth having .",
        "What would {user} say about {item} ?",
        "Write a short reason for {user} to take {item} .",
        "How does {item} suit {user} ?",
        "Sum up what {user} thinks of {item} .",
    ),
    "sequential": (
        "So far {user} took {history} . What comes next ?",
        "Here is the list of {user} in order of time : {history} . Name the next item .",
        "After {history} , which item will {user} take ?",
        "Continue the history of {user} : {history}",
        "Given {history} , guess what {user} wants next .",
    ),
    "direct": (
        "Choose one item for {user} among {candidates} .",
        "Which of these would {user} like best ? {candidates}",
        "Candidates for {user} : {candidates} . Pick one .",
        "From {candidates} , select the item that fits {user} .",
        "Look at {candidates} . What should we show to {user} ?",
    ),
}
