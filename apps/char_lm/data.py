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

import functools
import hashlib
import importlib.util
import itertools
import pathlib
import string

import numpy as np

from ..core.data.rows import Splits
from ..core.data.texts import TextFile, find_files, read_tfds, readable, shares
from ..core.errors import UserError
from ..core.tasks.language.streams import Documents

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


ALPHABETS = {"builtin": ALPHABET, "hello": "helo"}


def read(config):
    """The text that `config.data` names as `Splits` of `Documents`, by characters.
    Without a third part in --split the test text is the validation text.

    Raises:
        UserError: no such data; a file that is empty or no UTF-8; a text too short.
    """
    documents = read_documents(config)
    total, digest = 0, hashlib.sha256()
    for i, document in enumerate(documents):
        digest.update(b"\0" if i else b"")
        for piece in document:
            total += len(piece)
            digest.update(piece.encode("utf-8", "replace"))
    edges = np.round(np.cumsum([0, *shares(config.split)]) * total).astype(int)
    parts = [
        Documents(functools.partial(cut, documents, low, high), int(high - low))
        for low, high in itertools.pairwise(edges)
    ]
    for name, part in zip(("training", "validation", "test"), parts, strict=False):
        if len(part) < 2:
            raise UserError(
                f"The {name} text of {config.data} has {len(part)} characters; at "
                f"least 2 are needed. Give it more in --split={config.split}, or a "
                "longer text."
            )
    return Splits(*[*parts, parts[-1]][:3], digest.hexdigest())


def read_documents(config):
    """A list; each document gives its text in pieces, str, as often as one iterates
    over it."""
    if config.data == "builtin":
        return [[text] for text in builtin()]
    if config.data == "hello":
        return [["hello" * 400]]
    if config.data.startswith("tfds:"):
        return [read_tfds(config.data, config.data_dir)]
    files = find_files(config.data, SUFFIXES, "builtin, hello, tfds:NAME")
    return [TextFile(file) for file in readable(config, files)]


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


def cut(documents, low, high):
    """What lies between two places in the characters of all documents: pairs of
    whether a document begins there, bool, and a piece of it, str."""
    place = 0
    for document in documents:
        begins = True
        for piece in document:
            inside = piece[max(low - place, 0) : max(high - place, 0)]
            place += len(piece)
            if inside:
                yield begins, inside
                begins = False
            if place >= high:
                return
