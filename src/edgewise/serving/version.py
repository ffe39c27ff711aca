"""The version of a model, by which stored lists and answers are told apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgewise.errors import ModelFolderError
from edgewise.files import ABOUT, file_checksum
from edgewise.runs.run import Run, read_finished

_DIGITS = 12


def model_version(run_folder: str | Path) -> str:
    """``METHOD-`` and 12 hexadecimal digits, of the run's model and the data it was fitted on.

    The digits are of the SHA-256 of ``model/model.json``, which has the checksum of every file of
    the model, and of the data set's checksum. The name goes into a URL as it is.

    Raises:
        ModelFolderError: there is no finished run.
    """
    info = read_finished(run_folder)
    about = Path(run_folder) / "model" / ABOUT
    if not about.is_file():
        raise ModelFolderError(f"{about} is missing: put the run's model back, or fit it again")
    told = f"{file_checksum(about)} {info.spec.data.checksum}"
    return f"{info.spec.method_name}-{hashlib.sha256(told.encode()).hexdigest()[:_DIGITS]}"


def lists_key(run: Run) -> str:
    """By which an opened run's lists are stored: its version, its data where they have grown, and
    its weights where they are rounded otherwise than its own settings say.

    Raises:
        ModelFolderError: see :func:`model_version`.
    """
    version, fitted, now = model_version(run.folder), run.spec.data.checksum, run.dataset.checksum
    version = version if now == fitted else f"{version}+{now[:_DIGITS]}"
    return f"{version}+{run.weights}" if run.weights else version
