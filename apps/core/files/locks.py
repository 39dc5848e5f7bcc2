"""One process at a time in a folder."""

import contextlib
import errno
import os

from ..errors import UserError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there.
    fcntl = None


@contextlib.contextmanager
def locked(folder, wait=True):
    """Hold the lock on a folder. It ends with the block or, at the latest, the process.

    Yields:
        True; with `wait` False, False where another process holds it; None where the
        system or the folder's disk knows no locks.
    """
    if fcntl is None:
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except OSError as error:
            held = False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
        yield held
    finally:
        os.close(handle)


@contextlib.contextmanager
def only_one(folder):
    """An error where another process trains in this folder."""
    with locked(folder, wait=False) as held:
        if held is False:
            raise UserError(
                f"Another process is training in {folder}. Let it end, stop it, or "
                "name another folder with --out."
            )
        yield
