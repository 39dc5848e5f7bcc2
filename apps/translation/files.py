"""Which files hold the sentences: pairs of files by language, or tables."""

import os
import re

from ..core.data import splits, tables
from ..core.data.encodings import read_utf8
from ..core.data.places import path_of
from ..core.errors import UserError

PART = re.compile(rf"({'|'.join(splits.NAMES)})(?![a-z])", re.IGNORECASE)
SHOWN = 8  # names of files at most, in an error
EXPECTED = (
    "--data expected builtin, a folder, a table (.csv, .tsv, .jsonl), or what two "
    "files' names begin with, as FOLDER/test for test.en and test.de"
)


def sources(config):
    """Where the pairs are: list of (split, or None where a column or a hash decides;
    files, a table or the two of a pair), and a line about what is left out, or "".

    Raises:
        UserError: there are none, or it cannot be told which.
    """
    if not config.data:  # as from a variable that is not set
        raise UserError(f"{EXPECTED}; received nothing.")
    path = path_of(config.data)
    is_folder = os.path.isdir(path)  # False where nothing can be called so
    if not (config.source and config.target):
        raise _no_languages(config, path if is_folder else path.parent)
    if os.path.isfile(path):
        if not _is_table(path):
            stem = path.with_name(_stem_and_language(path)[0])
            raise UserError(
                f"{EXPECTED}; {path} is a file of another kind. If it is one of a "
                f"pair, name both of them with --data {stem}."
            )
        return _by_part(config, path, {path.name: (path,)})
    if is_folder:
        return _by_part(config, path, _pairs(config, path) or _tables(config, path))
    pairs = _pairs(config, path.parent, path.name)
    if not pairs:
        raise UserError(f"{EXPECTED}; there is no {path}.")
    if len(pairs) > 1 and path.name not in pairs:
        raise UserError(
            f"--data expected one pair of files; with {path} begin "
            f"{', '.join(pairs)}. Name one of them, or their folder."
        )
    stem = path.name if path.name in pairs else next(iter(pairs))
    return [(_part_of(stem), pairs[stem])], ""


def _by_part(config, path, named):
    """As `sources`, of a dict: name -> files."""
    if config.split_column and len(named) == 1:  # its name does not matter
        return [(None, *named.values())], ""
    parts = {}
    for name in named:
        parts.setdefault(_part_of(name), []).append(name)
    if set(parts) <= {"train", None}:  # a hash has to find validation and test
        read = dict.fromkeys(parts.get("train") or parts[None])
        if len(read) > 1 and _is_table(path / next(iter(read))):
            raise UserError(
                f"{path}: expected one table, or tables of which the names begin with "
                f"train, val and test; found {_some(read)}. Name one with --data."
            )
    else:
        read = dict.fromkeys(parts.get("train", ()), "train")
        firsts = {part: parts[part][0] for part in parts if part not in ("train", None)}
        read |= {name: part for part, name in firsts.items()}  # never two tests in one
    left_out = [name for name in named if name not in read]
    note = f"{path}: read {_some(read)}; left out {_some(left_out)}."
    if tests := [name for name in left_out if _part_of(name) == "test"]:
        note += f" `saccade evaluate translation RUN --data {path / tests[0]}` measures"
        note += " another."
    return [(read[name], named[name]) for name in read], note if left_out else ""


def _part_of(name):
    """The split whose name a file's begins with, or None."""
    found = PART.match(name)
    return found and splits.NAMES[found[0].lower()]


def _pairs(config, folder, beginning=""):
    """The pairs of files whose names begin so: dict, what both names have in common ->
    the files of source and target."""
    found = {}
    for file in _files(folder):  # sorted: train.en comes before train.en.gz
        stem, language = _stem_and_language(file)
        if language in (config.source, config.target) and stem.startswith(beginning):
            found.setdefault(stem, {}).setdefault(language, file)
    if found and config.split_column:
        raise UserError(
            f"--split-column expected a table with that column; {folder} has files by "
            "language. Leave it out: the names of the files say what is of which part."
        )
    for stem, files in found.items():
        for language in (config.source, config.target):
            if language not in files:
                (there,) = files.values()
                raise UserError(
                    f"{there}: expected {stem}.{language} or {stem}.{language}.gz "
                    f"beside it, found {_some(_languages(folder, stem))} of that name. "
                    "Add it, take this file away, or mend --source and --target."
                )
    return {
        stem: (files[config.source], files[config.target])
        for stem, files in found.items()
    }


def _tables(config, folder):
    """The tables of a folder: dict, name -> tuple of one."""
    found = {file.name: (file,) for file in _files(folder) if _is_table(file)}
    if not found:
        raise UserError(
            f"{folder}: expected files as train.{config.source} and "
            f"train.{config.target}, or a table ({', '.join(tables.ENDINGS)}); found "
            f"{_some(os.listdir(folder))}."
        )
    return found


def _files(folder):
    """The files of a folder, sorted, but for hidden ones and READMEs."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [f for f in files if f.is_file() and not f.name.startswith((".", "README"))]


def _is_table(file):
    return file.name.lower().removesuffix(".gz").endswith(tables.ENDINGS)


def _stem_and_language(file):
    """ "train.en.gz" -> "train" and "en"."""
    stem, _, language = file.name.removesuffix(".gz").rpartition(".")
    return stem, language


def _languages(folder, beginning=""):
    """The last endings of names, but for .gz, sorted."""
    ends = [_stem_and_language(file) for file in _files(folder) if not _is_table(file)]
    return sorted({end for stem, end in ends if stem and stem.startswith(beginning)})


def _some(names):
    names = sorted(names)
    return ", ".join(names[:SHOWN] + ["…"] * (len(names) > SHOWN)) or "nothing"


def _no_languages(config, folder):
    path = path_of(config.data)
    if os.path.isfile(path) and _is_table(path):
        first = read_utf8(path).partition("\n")[0].strip()
        hint = f"They are columns; the first row is: {first[:200]}"
    else:
        hint = (
            f"Files in {folder} end in: {_some(_languages(folder))}. Those of a table "
            "are called as its columns."
        )
    return UserError(
        f"{config.data}: name both languages with --source and --target, as in "
        f"--source en --target de; received {config.source!r} and {config.target!r}. "
        f"{hint}"
    )
