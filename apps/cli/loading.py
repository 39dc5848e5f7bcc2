"""Importing an app without TensorFlow's noise, and loading its runs."""

import contextlib
import os
import pathlib
import sys
import tempfile

from .. import load
from ..core.errors import UserError


def load_quietly(app):
    """`apps.load` without TensorFlow's start-up messages, which no library call hides.

    Some of them come before TF_CPP_MIN_LOG_LEVEL has any effect, written by C++ past
    `sys.stderr`: the file descriptor itself is turned aside for the import, and what
    came in is shown only where the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        aside = stack.enter_context(tempfile.TemporaryFile())
        stderr = os.dup(2)
        stack.callback(os.close, stderr)
        os.dup2(aside.fileno(), 2)
        try:
            return load(app)
        except BaseException:
            aside.seek(0)
            os.write(stderr, aside.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)


def load_run(app, folder=None):
    """A run, for what an export cannot do: be measured or exported again."""
    if folder and (pathlib.Path(folder) / "saved_model.pb").exists():
        raise UserError(
            f"Expected the folder of a run, received the export {folder}. An export "
            "answers `saccade predict`."
        )
    return load_quietly(app).load(folder)
