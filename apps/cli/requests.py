"""The requests that the words of `predict` and `client` name: for every app alike.

cat.jpg "more/*.png" -       files, for the first input kind that reads files
--text "a word"              a value of the kind of that name: once for all rows, or
                             once per row
--table rows.csv             a row per row, of the columns that bear kinds' names
"""

import dataclasses
import pathlib
import sys
import typing

from .. import REGISTRY, load_config_module
from ..core.data import tables
from ..core.errors import UserError
from ..core.settings.command_line import flag_of


@dataclasses.dataclass
class Words:
    """What stands behind a verb.

    plain: the words that belong to no option.
    values: kind name -> the words behind its option.
    """

    plain: list
    values: dict


class Asked(typing.NamedTuple):
    """Requests, and what is known of them besides; lists of one length.

    requests: dicts, a value per kind. labels: str, what to call each on a terminal, ""
    where there is no name. given: dicts, what stands beside them where they come from:
    the other columns of a table, the `name` of a record in a file.
    """

    requests: list
    labels: list
    given: list


def kinds_of(app, every=True):
    """The kinds that a person gives, by name; from the app's config, without
    TensorFlow. every: also those that only some settings or signatures have."""
    module = load_config_module(app)
    settings = vars(module).get("ALL_KINDS", {}) if every else {}
    config = module.Config(**settings)
    kinds = module.kinds(config)
    if every and hasattr(module, "signature_kinds"):
        kinds |= module.signature_kinds(config)
    return {name: kind for name, kind in kinds.items() if not kind.hidden}


def joined(arguments):
    """The words of a verb that answers, `--KIND VALUE` as one, `--KIND=VALUE`: else a
    value that looks like an option of the verb, as --help, would be taken for it."""
    app = next((word for word in arguments if word in REGISTRY), None)
    if app is None:
        return arguments
    flags, words, rest = flags_of(app), [], list(arguments)
    while rest:
        word = rest.pop(0)
        words.append(f"{word}={rest.pop(0)}" if word in flags and rest else word)
    return words


def flags_of(app):
    """The options of an app's inputs: flag -> name of the kind."""
    return {
        flag_of(spelled): name
        for name, kind in kinds_of(app).items()
        for spelled in filter(None, (name, kind.alias))
    }


def part_kinds(app, arguments):
    """Parts `--KIND VALUE` from the other words.

    Returns:
        kind name -> list of the words behind its option; the other words, list.

    Raises:
        UserError: an option without its value.
    """
    flags, values, others, rest = flags_of(app), {}, [], list(arguments)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if flag not in flags:
            others.append(word)
            continue
        if not equals:
            if not rest:
                raise UserError(
                    f"{flag[2:]}: expected a value, as in {flag} VALUE; received none."
                )
            value = rest.pop(0)
        values.setdefault(flags[flag], []).append(value)
    return values, others


def read_requests(kinds, words, table, readers):
    """The requests that the words name: `Asked`.

    Args:
        kinds: name -> Kind, of the signature that is asked.
        words: `Words`. table: a file of rows, or "".
        readers: see `Task.readers`.

    Raises:
        UserError: a kind has no value, or the kinds have different numbers of values.
    """
    if table:
        if words.plain or words.values:
            raise UserError(
                "--table holds the requests; leave other inputs out, received "
                f"{' '.join(words.plain) or flag_of(next(iter(words.values)))}."
            )
        return read_table(kinds, table)
    if unknown := [name for name in words.values if name not in kinds]:
        others = " or ".join(f"--signature {name}" for name in readers(unknown[0]))
        raise UserError(
            f"{flag_of(unknown[0])} belongs to {others or 'other settings'}; what is "
            f"asked here reads {' and '.join(map(flag_of, kinds))}."
        )
    columns = {
        name: [value for word in words.values[name] for value in kind.from_word(word)]
        for name, kind in kinds.items()
        if name in words.values
    }
    labels = []
    if words.plain:
        names, found = _kinds_of_files(kinds, columns, words.plain), []
        for i, name in enumerate(names):
            columns[name], own = read_files(kinds[name], words.plain[i :: len(names)])
            found.append(own)
        labels = [" ".join(row).strip() for row in zip(*found, strict=False)]
    if missing := [name for name in kinds if name not in columns]:
        raise UserError(
            f"Expected {' and '.join(map(_how_to_give(kinds), missing))}; received "
            "none."
        )
    rows = max(map(len, columns.values()))
    for name, values in columns.items():
        if len(values) == 1:
            columns[name] = values * rows
        elif len(values) != rows:
            raise UserError(
                f"Expected one {flag_of(name)} for all rows or one for each of {rows}; "
                f"received {len(values)}."
            )
    requests = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    given = [_names_in(kinds, request) for request in requests]
    return Asked(requests, labels or [""] * rows, given)


def _names_in(kinds, request):
    """What the files call the parts of a request: dict, empty where they do not."""
    names = (kind.name_of(request[part]) for part, kind in kinds.items())
    name = next(filter(None, names), "")
    return {"name": name} if name else {}


def _kinds_of_files(kinds, columns, words):
    """The kinds that plain words are files of, in turn: several, where no other word
    gives them and the words are as many for each."""
    names = [n for n, kind in kinds.items() if kind.files and n not in columns]
    if len(words) % max(1, len(names)):
        names = names[:1]
    if names:
        return names
    flags = list(map(flag_of, kinds))
    raise UserError(
        f"Expected {' and '.join(flags)} once, as an option or by files; received "
        f"{' '.join(words)} besides, which is no run's folder. Of several values each "
        f"has an option of its own: {flags[-1]} A {flags[-1]} B."
    )


def _how_to_give(kinds):
    def text(name):
        kind = kinds[name]
        option = flag_of(kind.alias or name)
        return f"{option} VALUE, a file, or -" if kind.files else f"{option} VALUE"

    return text


def read_files(kind, words):
    """The values of files: the words, patterns resolved, and standard input (`-`);
    and their names."""
    values, labels = [], []
    for word in words:
        if word == "-":
            several = kind.from_pipe(sys.stdin.buffer.read())
            values += several
            labels += [kind.name_of(v) or ("" if "\n" in v else v) for v in several]
            continue
        for path in _matching(word):
            several = kind.values(path)
            values += several
            path = str(path) if len(several) == 1 else ""
            labels += [kind.name_of(value) or path for value in several]
    return values, labels


def _matching(word):
    if not any(c in word for c in "*?["):
        return [word]
    path = pathlib.Path(word)
    root = pathlib.Path(path.anchor or ".")
    found = sorted(str(p) for p in root.glob(str(path.relative_to(path.anchor))))
    # A pattern that fits nothing is named as it is: perhaps it is no pattern but a file
    # called so, and else it fails alone, as a missing file does.
    return found or [word]


def read_table(kinds, path):
    """A request per row of a table with a column per kind, `Asked`; paths are relative
    to the table."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"--table expected a .csv, .tsv or .jsonl file; found no {path}."
        )
    wanted = {f"called so, for the input {flag_of(name)}": name for name in kinds}
    asked = Asked([], [], [])
    for record in tables.read(path, wanted):
        if record.error:
            raise UserError(f"{record.where}: {record.error}.")
        request = {}
        for name, kind in kinds.items():
            request[name] = kind.from_cell(record.values[name], path.parent)
        others = {k: v for k, v in record.values.items() if k not in kinds}
        asked.requests.append(request)
        asked.labels.append(record.where)
        asked.given.append(others)
    return asked
