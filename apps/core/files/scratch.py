"""A file for what would fill memory: of training data, only what a step asks for is
read."""

import tempfile
import threading
import weakref

from ..errors import UserError


def no_room(error):
    """The UserError for an OSError while writing training data into TMPDIR."""
    return UserError(
        f"Could not write the training data into a temporary file of "
        f"{tempfile.gettempdir()}: {error.strerror or error}. Make room there, or name "
        "a folder with more of it in the environment variable TMPDIR."
    )


class Scratch:
    """A temporary file without a name, in TMPDIR; it goes when nobody holds it."""

    def __init__(self):
        self._file = tempfile.TemporaryFile(prefix="saccade-")
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)

    def append(self, array):
        """The bytes of an array, behind those that are there."""
        try:
            array.tofile(self._file)
        except OSError as error:
            raise no_room(error) from None

    def read(self, first, count):
        """`count` bytes from byte `first` on; fewer where the file ends."""
        with self._lock:
            self._file.seek(first)
            return self._file.read(count)
