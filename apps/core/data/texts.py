"""Texts from files, folders and tensorflow-datasets, and how they are split."""

import codecs
import gzip
import io
import logging
import os
import pathlib
import zlib

from ..errors import UserError
from . import encodings, prepared
from .places import path_of
from .sieve import sift

log = logging.getLogger("saccade")


def find_files(name, suffixes, sources):
    """The text files that a path names: itself, or those in the folder, sorted.

    READMEs are left out, they tell about the texts; and what is hidden, as .git.

    Args:
        name: the path. suffixes: tuple of endings that a text in a folder has.
        sources: what else --data may be, for the error.
    """
    path = path_of(name)
    if os.path.isfile(path):  # False where no file can be called so
        return [path]
    if not name or not os.path.isdir(path):  # Path("") would be this folder
        raise UserError(
            f"--data expected {sources}, a text file or a folder of text files; found "
            f"nothing at {name!r}."
        )
    there = [p for p in sorted(path.rglob("*")) if not _is_hidden(p.relative_to(path))]
    files = [
        p
        for p in there
        if p.name.lower().endswith(suffixes) and not p.name.startswith("README")
    ]
    if not files:
        raise UserError(
            f"Found no text in the folder {path}: expected files ending in "
            f"{', '.join(suffixes)}."
        )
    others = sum(p.is_file() for p in there) - len(files)
    if others:
        log.info(
            "%s: %d texts; left out %d files, READMEs or of other endings than %s.",
            path,
            len(files),
            others,
            ", ".join(suffixes),
        )
    return files


def _is_hidden(path):
    return any(part.startswith(".") for part in path.parts)


def readable(config, files):
    """The files that can be read as texts. With --skip-bad the others are counted;
    without, the first of them is an error when it is read."""
    if not config.skip_bad:
        return files
    return sift(config, files, [_why_unreadable(file) for file in files], "files")


def _why_unreadable(file):
    try:
        for _ in TextFile(file):
            pass
    except UserError as error:
        return str(error).removesuffix(".")
    return ""


class TextFile:
    """A UTF-8 file, gzip where its name ends in .gz: iterating gives its text in pieces
    of at most `size` bytes, line ends as \\n, as often as one likes.

    Raises:
        UserError: it cannot be opened, is empty, no UTF-8, or no gzip.
    """

    def __init__(self, path, size=2**22):
        self.path, self.size = pathlib.Path(path), size

    def __iter__(self):
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        line, size, nuls, empty = 1, 0, 0, True
        for content, last in self._blocks():
            size += len(content)
            nuls += content.count(0)
            try:
                text = decoder.decode(content, last)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                start = encodings.sample_start(size - len(error.object) + error.start)
                raise encodings.no_utf8(
                    self.path,
                    line,
                    error.object[error.start],
                    self._sample(start, error.object),
                ) from None
            line += content.count(b"\n")
            text = newlines.decode(text, last)
            empty = empty and not text.strip()
            yield text
        if empty:
            raise UserError(f"{self.path} is empty.")
        if encodings.many_nuls(nuls, size):
            raise encodings.holds_nuls(self.path, self._sample(0, content))

    def _blocks(self):
        """(bytes, whether they are the last), the last ones perhaps none."""
        with self._open() as file:
            try:
                while content := file.read(self.size):
                    yield content, False
            except (OSError, EOFError, zlib.error) as error:
                raise UserError(
                    f"{self.path} ends in .gz, but is no gzip: {error}."
                ) from None
        yield b"", True

    def _sample(self, start, seen):
        """Bytes from a place that has been read before; of a pipe, which can be read
        only once, those that have been `seen`."""
        if not os.path.isfile(self.path):
            return seen
        with self._open() as file:
            file.seek(start)
            return file.read(encodings.SAMPLE)

    def _open(self):
        opener = gzip.open if self.path.suffix == ".gz" else open
        try:
            return opener(self.path, "rb")
        except (OSError, ValueError) as error:  # a name with a NUL
            why = getattr(error, "strerror", None) or error
            raise UserError(f"{self.path}: the text cannot be read: {why}.") from None


def read_text(path):
    """The whole text of a `TextFile`."""
    return "".join(TextFile(path))


def read_or_why(path):
    """The text of a file and "", or "" and why it could not be read."""
    if os.path.isdir(path):
        return "", f"{path} is a folder; name its files, as '{path}/*'"
    try:
        return read_text(path), ""
    except UserError as error:
        return "", str(error)


def read_tfds(data, data_dir):
    """The texts of a set of tensorflow-datasets, list of str: its splits in the order
    train, validation, test.

    Args:
        as in `prepared.builder`.
    """
    builder = prepared.builder(data, data_dir)
    if "text" not in builder.info.features:
        raise UserError(
            f"{data} has no feature 'text'; it has "
            f"{', '.join(builder.info.features)}. Use a data set of texts."
        )
    order = ("train", "validation", "test")
    names = sorted(
        builder.info.splits, key=lambda n: order.index(n) if n in order else 3
    )
    return [
        row["text"].decode("utf-8")
        for split in names
        for row in builder.as_dataset(split=split).as_numpy_iterator()
    ]


def shares(split):
    """'90/10' or '80/10/10' as fractions that sum to 1."""
    try:
        parts = [float(part) for part in split.split("/")]
    except ValueError:
        parts = []
    if len(parts) not in (2, 3) or min(parts) <= 0 or abs(sum(parts) - 100) > 1e-6:
        raise UserError(
            "--split expected two or three percentages above 0 that sum to 100, as in "
            f"90/10 or 80/10/10; received {split!r}."
        )
    return [part / 100 for part in parts]
