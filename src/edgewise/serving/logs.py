"""The log of a service: one JSON object a line, without keys, and without people's ids."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
log = logging.getLogger("edgewise.serving")
log.addHandler(logging.NullHandler())
LEVELS = ("debug", "info", "warning", "error")


class JsonLines(logging.Formatter):
    """Time, level, event, and whatever a message was given beside its words."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "pid": record.process,
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def log_request(line: Mapping[str, Any]) -> None:
    """One line a request; with thousands a second, :mod:`logging` would take half their time."""
    if log.isEnabledFor(logging.INFO):
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        told = {"time": time, "level": "info", "event": "request", "pid": os.getpid(), **line}
        sys.stderr.buffer.write(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))
        sys.stderr.buffer.flush()


def log_as_json(level: str) -> None:
    """Write the log to standard error; the server's own words as well, from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, least in (("edgewise.serving", level), ("uvicorn", "warning")):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least.upper())
        logger.propagate = False
