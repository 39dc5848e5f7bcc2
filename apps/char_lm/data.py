"""Texts: Python's own source, four letters, tfds, or the user's files.

    --data builtin                  source text of modules of Python's standard library
    --data hello                    the word hello, again and again
    --data tfds:tiny_shakespeare    through tensorflow-datasets
    --data FILE                     a text, UTF-8
    --data FOLDER                   every .txt, .py, .md, .tex, .c ... file in it but
                                    READMEs, each a document of its own

A text is cut in its order: the first 90 % are for training, the rest is validation, as
`--split` says.
"""

import dataclasses
import hashlib
import importlib.util
import logging
import pathlib
import string

import numpy as np

from ..core.characters import Characters
from ..core.config import UserError
from ..core.streams import Text
from ..core.text_files import find_files, read_text, read_tfds, shares

log = logging.getLogger("saccade")

SUFFIXES = (".txt", ".py", ".md", ".tex", ".c", ".h", ".java", ".js", ".html")

# Pure Python in every version that we support, of much the same text in each.
MODULES = (
    "abc argparse ast base64 bdb bisect calendar cmd code codecs colorsys "
    "configparser contextlib copy copyreg csv dataclasses difflib dis doctest enum "
    "filecmp fileinput fnmatch fractions ftplib functools genericpath getopt getpass "
    "gettext glob graphlib gzip hashlib heapq hmac imaplib inspect ipaddress keyword "
    "linecache locale lzma mailbox mimetypes modulefinder netrc nturl2path numbers "
    "opcode operator optparse os pdb pickle pickletools pkgutil platform plistlib "
    "poplib posixpath pprint profile pstats py_compile pyclbr queue quopri random "
    "reprlib rlcompleter runpy sched secrets selectors shelve shlex shutil signal "
    "site smtplib socket socketserver ssl stat statistics string stringprep struct "
    "subprocess symtable tabnanny tarfile tempfile textwrap threading timeit token "
    "tokenize trace traceback tracemalloc tty turtle types typing uuid warnings wave "
    "weakref webbrowser zipapp zipfile zipimport "
    "collections email.message email.header email.charset email.generator "
    "html.parser http.client http.cookies http.cookiejar http.server json.decoder "
    "json.encoder logging logging.config logging.handlers unittest.case "
    "unittest.mock urllib.parse urllib.request xml.dom.minidom xmlrpc.client "
    "asyncio.base_events asyncio.events asyncio.streams asyncio.tasks "
    "concurrent.futures.process concurrent.futures.thread importlib.resources "
    "multiprocessing.connection multiprocessing.managers multiprocessing.pool"
).split()
# One alphabet on every version, so that every model has the same shape.
ALPHABET = "".join(c for c in string.printable if c not in "\t\r\x0b\x0c")


@dataclasses.dataclass(frozen=True)
class Splits:
    """A `Text` each, in the ids of `characters`. Without a third part in --split the
    test text is the validation text."""

    train: Text
    validation: Text
    test: Text
    characters: Characters
    sha256: str  # of the whole text


def load_data(config):
    """Splits of the text that `config.data` names.

    Raises:
        UserError: no such data; a file that is empty or no UTF-8; a text too short.
    """
    documents, alphabet = read(config)
    parts = cut(documents, shares(config.split))
    characters = Characters(alphabet) if alphabet else None
    if characters is None:
        characters = Characters.build(parts[0], config.min_count)
    texts = [Text([characters.ids(d) for d in part]) for part in parts]
    for name, text in zip(("training", "validation", "test"), texts, strict=False):
        if len(text) < 2:
            raise UserError(
                f"The {name} text of {config.data} has {len(text)} characters; at "
                f"least 2 are needed. Give it more in --split={config.split}, or a "
                "longer text."
            )
    digest = hashlib.sha256("\0".join(documents).encode("utf-8", "replace"))
    train, validation, test = [*texts, texts[-1]][:3]
    return Splits(train, validation, test, characters, digest.hexdigest())


def read(config):
    """The documents, list of str, and the fixed alphabet of the data or None."""
    if config.data == "builtin":
        return builtin(), ALPHABET
    if config.data == "hello":
        return ["hello" * 400], "helo"
    if config.data.startswith("tfds:"):
        texts = read_tfds(config.data.removeprefix("tfds:"), config.data_dir)
        return ["".join(texts)], None
    files = find_files(config.data, SUFFIXES, "builtin, hello, tfds:NAME")
    return [read_text(file) for file in files], None


def builtin():
    """The source texts of MODULES, as installed, in ALPHABET."""
    documents = []
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        path = pathlib.Path(spec.origin) if spec and spec.origin else None
        if path and path.suffix == ".py":
            text = path.read_text("utf-8").expandtabs(4)
            documents.append("".join(c for c in text if c in ALPHABET))
    return documents


def cut(documents, parts):
    """The documents of each part, cut where its share of all characters ends."""
    sizes = np.cumsum([len(d) for d in documents])
    edges = np.round(np.cumsum([0, *parts]) * sizes[-1]).astype(int)
    begins = sizes - [len(d) for d in documents]
    return [
        [
            d[max(low - begin, 0) : high - begin]
            for d, begin in zip(documents, begins, strict=True)
            if begin < high and begin + len(d) > low
        ]
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]


def learn(config, splits):
    """Nothing is left open but the characters."""
    return config, splits.characters


assets_from_json = Characters.from_json


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    return f"{config.data} has no text"


def describe(splits):
    """Facts for people."""
    head = splits.train.ids[:200]
    sample = splits.characters.decode(head[None]).numpy()[0].decode()
    return {
        "training": f"{len(splits.train):,} characters",
        "validation": f"{len(splits.validation):,} characters",
        "test": "as validation"
        if splits.test is splits.validation
        else f"{len(splits.test):,} characters",
        "documents": int(splits.train.begins.sum()),
        "different characters": splits.characters.size - 1,
        "sha256": splits.sha256,
        "begins": repr(sample),
    }


def example():
    """One raw request, as a client would send it."""
    return {
        "text": np.array([b"def main(", b"import "]),
        "temperature": np.array([0.8, 0.0], np.float32),
        "length": np.array([20, 20], np.int32),
        "seed": np.array([0, 1], np.int32),
    }
