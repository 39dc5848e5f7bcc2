"""Files that are written whole or not at all, whenever the process dies.

A file is written beside its place, brought to the disk and renamed into place.
"""

import errno
import os
import pathlib
import shutil

from ..errors import UserError


class replacing:
    """Write a file beside its place and rename it there: whole or not at all.

    Args:
        path: of the file.
        size: bytes that it will have, for the error; None: as many as it has.

    Raises:
        UserError: it cannot be written; what was at `path` before is still there.
    """

    def __init__(self, path, size=None):
        self.path, self.size = pathlib.Path(path), size
        # The ending stays: some writers choose the format by it.
        self.temporary = self.path.with_name(f".writing-{os.getpid()}-{self.path.name}")

    def __enter__(self):
        return self.temporary

    def __exit__(self, kind, value, traceback):
        try:
            if kind is None:
                # To the disk itself: some tell only now that they are full, and a
                # power cut must not leave a new name on old or missing bytes.
                with open(self.temporary, "rb") as file:
                    os.fsync(file.fileno())
                os.replace(self.temporary, self.path)
                return
        except OSError as error:
            value = error
        self.temporary.unlink(missing_ok=True)
        if isinstance(value, OSError):
            raise _cannot_write(self.path, value, self.size) from value


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path):
    """As `mkdir -p`, with an error for users."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def remove_leftovers(folder):
    """Delete what processes that were killed while writing left in a run's folder."""
    for path in [*folder.glob(".writing-*"), *folder.glob("checkpoint/.writing-*")]:
        writer = path.name.split("-")[1]
        # Our own number: in a container every process may have the same one.
        if writer == str(os.getpid()) or not _is_alive(writer):
            path.unlink(missing_ok=True)


def _is_alive(pid):
    try:
        os.kill(int(pid), 0)  # sends nothing
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _cannot_write(path, error, size=None):
    """The UserError for an OSError while writing `path`; the size as in `replacing`."""
    room = ""
    if size is None and path.is_file():
        size = path.stat().st_size
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = next(p for p in path.absolute().parents if p.exists())
        free = shutil.disk_usage(folder).free
        room = f" {free / 1e6:,.2f} MB are free there"
        room += f", about {size / 1e6:,.2f} MB are needed." if size else "."
    return UserError(
        f"Could not write {path}: {error.strerror or error}.{room} What was saved "
        "before is as it was. Mend that, for instance make room, and go on with the "
        "same command and --resume."
    )
