"""The exceptions of edgewise.

Every message says what was wrong, where (file and line, option, or id), and what to do about it.
"""

from __future__ import annotations


class EdgewiseError(Exception):
    """Base class: catch this to catch everything edgewise raises on purpose."""


class DataError(EdgewiseError):
    """A source file or a data set folder cannot be used as it is."""


class ConfigError(EdgewiseError):
    """An option or configuration key has an unknown name or an impossible value."""


class UnknownIdError(EdgewiseError):
    """A user or item id does not occur in the data set."""


class ModelFolderError(EdgewiseError):
    """A saved model is missing, truncated, altered or not one of ours."""


class TrainingError(EdgewiseError):
    """Training cannot go on."""


class LockedError(EdgewiseError):
    """Another process is writing the same file or folder."""
