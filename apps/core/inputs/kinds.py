"""Input kinds: what one part of a request is, once for all apps.

A kind turns what people have (a word of the command line, a file, a cell of a table)
into what a request holds, says which tensors carry that, and decodes them in the graph.
Decoding depends on nothing that was learned.

`config.py` of an app names its kinds, so this module imports TensorFlow only where a
graph is made.
"""

import numbers
import os
import pathlib
import re
import typing

from ..errors import UserError

BLANK = "the text is empty or white space; expected at least one character"
NUMBER = re.compile("[0-9]{1,10}")
WHITE_SPACE = r"[\s\v\x1c-\x1f\x{85}\pZ]*"  # what str.strip takes off


class Kind:
    """The base of all kinds: what each of them must offer.

    hidden: no person gives it; the command line does not show it.
    files: whether a plain word of the command line is a file of this kind.
    alias: another name for its option on the command line, or "".
    help: what it is, for `--help`.
    empty: what a request holds in the place of a value that could not be read.
    """

    hidden = False
    files = False
    alias = ""
    help = ""
    empty: typing.Any = b""

    def values(self, path):
        """The values that a file of this kind holds, one or more; list."""
        return [path]

    def from_word(self, word):
        """The values that the word behind this kind's option names; list."""
        return [word]

    def from_pipe(self, content):
        """The values on standard input, bytes: the names of files, one a line."""
        return [line.strip() for line in as_text(content).splitlines() if line.strip()]

    def from_cell(self, value, folder):
        """The value that a cell of a table in `folder` names."""
        return value

    def encode(self, value):
        """What a request holds for a value of Python's, and why there is none or ""."""
        raise NotImplementedError

    def specs(self, name):
        """The tensors that carry a batch of it: list of `tf.TensorSpec`, each of shape
        (None, ...), for a kind that a task calls `name`."""
        raise NotImplementedError

    def decode(self, *tensors):
        """In the graph: tensors -> (values for `Task.features`, ok bool (batch,))."""
        raise NotImplementedError

    def column(self, values):
        """A function of indices int64 (n,) -> what `decode` gives for these of the
        values, for tf.data. It is worked out once, not every epoch.

        Raises:
            UserError: a value cannot be decoded.
        """
        raise NotImplementedError

    def examples(self):
        """Two good values, as a client might send them."""
        raise NotImplementedError

    def aligned(self, values):
        """Encoded values as one tensor can hold them: list of as many."""
        return values

    def text_of(self, value):
        """A value in a line, for people."""
        return str(value)

    def name_of(self, value):
        """What the file that holds it calls a value, or ""."""
        return ""


class Picture(Kind):
    """A picture: JPEG, PNG, GIF, BMP or WebP; a path, or its bytes.

    Args:
        size: height and width, in pixels, that `decode` gives: uint8 (batch, size,
            size, 3).
    """

    files = True
    help = "a picture file: JPEG, PNG, GIF, BMP or WebP"
    endings = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")

    def __init__(self, size):
        self.size = size

    def from_cell(self, value, folder):
        return pathlib.Path(folder) / str(value)

    def encode(self, value):
        if isinstance(value, bytes):
            return value, ""
        try:
            return pathlib.Path(value).read_bytes(), ""
        except IsADirectoryError:
            path = pathlib.Path(value)
            return b"", f"is a folder; name its files, as '{path}/*'"
        except FileNotFoundError:
            return b"", "there is no such file"
        except (OSError, ValueError) as error:  # a name that no file can have
            why = getattr(error, "strerror", None) or error
            return b"", f"cannot be read: {why}"

    def error_of(self, path):
        """Why a picture file cannot be used, or "", sooner than by decoding it."""
        from .picture_files import error_of

        return error_of(path)

    # What the graph says of a value by `ok` False.
    refused = "is no JPEG, PNG, GIF, BMP or WebP picture, or a broken or too large one"

    def specs(self, name):
        import tensorflow as tf

        # An input whose name ends so may hold any bytes in TF Serving's REST API.
        return [tf.TensorSpec([None], tf.string, f"{name}_bytes")]

    def decode(self, image_bytes):
        from . import pictures

        return pictures.decoder(self.size)(image_bytes)

    def column(self, values):
        """A picture that occurs in several rows is decoded and kept once."""
        from ..data import kept
        from . import pictures

        return kept.each_once(values, lambda files: pictures.picker(files, self.size))

    def examples(self):
        from ..data import drawn

        return [drawn.example(), drawn.example()]

    def text_of(self, value):
        return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)


class Text(Kind):
    """A text, UTF-8: str or bytes are the text, a `pathlib.Path` is a file of it.

    Bytes that are no UTF-8 are what the model does not know; a file of them is an
    error.

    Args:
        examples: two texts.
        alias: as in `Kind`.
        lines: whether every line of a file that is not empty is a text of its own.
        prepare: function (str) -> str for what no graph can do, as cutting Chinese into
            words; it must change nothing when it is used twice.
        help: as in `Kind`, where there is more to say.
        blank: whether a text may be empty, or of white space alone.
        most: bytes at most, where a network reads all of them at once; 0: no limit.
    """

    files = True
    help = "a text; a plain word is a text file"

    def __init__(
        self,
        examples,
        alias="",
        lines=False,
        prepare=None,
        help="",
        blank=True,
        most=0,
    ):
        self._examples, self.alias = examples, alias
        self.help = help or self.help
        self.lines, self.prepare, self.blank = lines, prepare, blank
        self.most = most
        if not blank:
            self.refused = BLANK
        elif most:
            self.refused = f"is longer than {most:,} bytes: cut it"

    def values(self, path):
        path = pathlib.Path(path)
        if not self.lines:
            return [path]
        text, error = self.text(path)
        return [path] if error else self.texts_in(text)  # `encode` says why

    def from_pipe(self, content):
        return self.texts_in(as_text(content))

    def texts_in(self, text):
        """A text, or with `lines` its lines that are not empty; list of str."""
        lines = [line for line in text.split("\n") if line.strip()]
        if not self.lines or not (lines or self.blank):
            return [text]  # without any line, so that `encode` refuses it
        return lines

    def text(self, value):
        """A value as str and "", or "" and why it cannot be read."""
        if isinstance(value, os.PathLike):
            from ..data.texts import read_or_why

            return read_or_why(value)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace"), ""
        return value, ""

    def encode(self, value):
        text, error = self.text(value)
        if not (self.blank or error or text.strip()):
            error = BLANK
        if self.prepare:
            text = self.prepare(text)
        if not isinstance(value, bytes) or self.prepare:
            # What is no character comes out as bytes that are no UTF-8: unknown ones.
            value = text.encode("utf-8", "surrogatepass")
        if self.most and len(value) > self.most:
            error = f"expected at most {self.most:,} bytes, received {len(value):,}"
        return value, error

    refused = "cannot be read as a text"

    def specs(self, name):
        import tensorflow as tf

        return [tf.TensorSpec([None], tf.string, name)]

    def decode(self, text):
        import tensorflow as tf

        ok = tf.fill(tf.shape(text), True)
        if not self.blank:
            ok &= ~tf.strings.regex_full_match(text, WHITE_SPACE)
        if self.most:
            ok &= tf.strings.length(text) <= self.most
            text = tf.where(ok, text, "")  # nobody reads it
        return text, ok

    def column(self, values):
        import tensorflow as tf

        encoded = tf.constant([self.encode(value)[0] for value in values], tf.string)
        return lambda indices: tf.gather(encoded, indices)

    def examples(self):
        return list(self._examples)


class Choices(Kind):
    """Texts of which one is to be chosen: a list of str, or a str with a mark between.

    Args:
        examples: two lists of texts.
        mark: stands between the choices of a word or a cell.
    """

    empty = ()
    refused = "holds no choice that is not empty"

    def __init__(self, examples, mark="|"):
        self._examples, self.mark = examples, mark
        self.help = f"what to choose from, as in 'yes{mark}no'"

    def encode(self, value):
        if isinstance(value, str | bytes):
            value = as_utf8(value).split(self.mark.encode())
        found = tuple(as_utf8(choice).strip() for choice in value)
        return found, "" if any(found) else self.refused

    def aligned(self, values):
        most = max([1, *map(len, values)])
        return [[*value, *[b""] * (most - len(value))] for value in values]

    def specs(self, name):
        import tensorflow as tf

        return [tf.TensorSpec([None, None], tf.string, name)]

    def decode(self, choices):
        import tensorflow as tf

        return choices, tf.reduce_any(choices != "", axis=1)

    def examples(self):
        return list(self._examples)

    def text_of(self, value):
        return value if isinstance(value, str) else f" {self.mark} ".join(value)


class Tensor(Kind):
    """Numbers that a program sends: tokens, for instance.

    Args:
        dtype: name of a TensorFlow dtype. shape: behind the batch.
    """

    hidden = True
    empty = 0
    refused = ""

    def __init__(self, dtype, shape=()):
        self.dtype, self.shape = dtype, tuple(shape)

    def encode(self, value):
        return value, ""

    def specs(self, name):
        import tensorflow as tf

        return [tf.TensorSpec([None, *self.shape], self.dtype, name)]

    def decode(self, tensor):
        import tensorflow as tf

        return tensor, tf.fill([tf.shape(tensor)[0]], True)

    def column(self, values):
        import tensorflow as tf

        tensor = tf.constant(values, self.dtype)
        return lambda indices: tf.gather(tensor, indices)

    def examples(self):
        import numpy as np

        return [np.zeros([size or 1 for size in self.shape])] * 2


class Seed(Tensor):
    """The seed of what is drawn at random: a whole number, the same draws every time.

    Args:
        help: what is drawn, for people.
    """

    hidden = False
    MOST, AT_ONCE = 2**31 - 1, 10_000

    def __init__(self, help="of the draws: the same number, the same answer"):
        super().__init__("int32")
        self.help = help
        self.refused = f"expected a whole number from 0 to {self.MOST}"

    def from_word(self, word):
        """One seed, or with `1..8` those from the first to the last."""
        first, dots, last = word.partition("..")
        if not (dots and NUMBER.fullmatch(first) and NUMBER.fullmatch(last)):
            return [word]
        some = range(int(first), int(last) + 1)
        return [str(n) for n in some] if 0 < len(some) <= self.AT_ONCE else [word]

    def encode(self, value):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
            value, whole = int(value), True
        if not whole or not 0 <= value <= self.MOST:
            return 0, f"{self.refused}, received {value!r:.50}"
        return int(value), ""

    def decode(self, tensor):
        return tensor, tensor >= 0

    def examples(self):
        return [0, 1]


class State(Tensor):
    """A recurrent state, float32 (batch, units); its output has the same name."""

    def __init__(self, units):
        super().__init__("float32", (units,))


def as_utf8(text):
    """str or bytes as bytes."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def as_text(content):
    """Standard input as str.

    Raises:
        UserError: it is no UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"Standard input is no UTF-8: {error}.") from None


def columns_of(kinds, requests):
    """Requests -> what a signature's inputs hold, and what is wrong with each.

    Args:
        kinds: name -> Kind.
        requests: list of dicts, a value per kind, see `as_request`.

    Returns:
        columns: kind name -> list of encoded values; errors: list of str, "" where a
        request is sound.
    """
    columns = {name: [] for name in kinds}
    errors = []
    for request in requests:
        error = ""
        for name, kind in kinds.items():
            value, why = kind.encode(request[name])
            columns[name].append(kind.empty if why else value)
            error = error or why
        errors.append(error)
    return columns, errors


def as_request(kinds, request):
    """A request as a dict, one value per kind; where there is one kind, its value will
    do.

    Raises:
        UserError: the request lacks a part, or has one that no kind knows.
    """
    if not isinstance(request, dict) and len(kinds) == 1:
        return {next(iter(kinds)): request}
    if not isinstance(request, dict) or request.keys() != kinds.keys():
        received = (
            ", ".join(map(str, request)) if isinstance(request, dict) else repr(request)
        )
        raise UserError(
            f"Expected a request with {' and '.join(kinds)}; received {received[:200]}."
        )
    return request
