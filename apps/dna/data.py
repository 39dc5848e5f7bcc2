"""Sequences and their classes: builtin, or one's own.

`--data` takes

- `builtin`: sequences with motifs of promoters and splice donors, or what looks like
  them; the best possible accuracy is known, see `saccade data dna`;
- a path: a file, or a folder with exactly one, each also as `.gz`:
  a table (`.csv`, `.tsv`, `.jsonl`) with the columns `sequence` and `label` (or as
  `--sequence-column` and `--label-column` say); `--split-column` names a column with
  train, val or test;
  UCI's comma file, `class, name, sequence` in every line, without a header (`.data`);
  FASTA (`.fasta`, `.fa`, `.fna`) whose headers end in the class, `>name|class` (or
  behind another `--label-separator`), or whose classes stand in a table,
  `--labels labels.tsv`, with the columns `name` and `label`.

Letters are those of bases, small or large, T or U, and IUPAC's for several bases. Which
split a sequence belongs to is a hash of its letters, so that equal ones stay together.
Names and other columns are kept for `evaluate --group`, and no model sees them.
"""

import pathlib

from ..core.data import fasta, labelled, manifest, splits, tables
from ..core.data.encodings import read_utf8
from ..core.data.places import path_of
from ..core.data.rows import Row
from ..core.errors import UserError
from ..core.inputs.sequence import normalised, why_no_sequence
from . import builtin

FASTA, UCI = (".fasta", ".fa", ".fna"), (".data",)
ENDINGS = (*manifest.TABLES, *FASTA, *UCI)
EXAMPLE = "A table sequences.csv with the columns sequence and label will do."


def read(config):
    """The sequences that `config.data` names, in three splits with the columns
    `sequence` and `label`, and what else every row of the file has, all str.

    Raises:
        UserError: there is no such file or column, a row is bad (see `sieve.sift`), or
            none is left to learn from.
    """
    if config.data == "builtin":
        return builtin.read(config)
    endings = (*ENDINGS, *(f"{ending}.gz" for ending in ENDINGS))
    path = manifest.find_file(config.data, endings, (), EXAMPLE, "sequences", made="")
    rows = [_checked(config, row) for row in _rows(config, pathlib.Path(path))]
    if not rows:
        raise UserError(f"{path}: expected at least one sequence, found none.")
    return labelled.split_rows(config, rows, "sequence", "sequences")


def _rows(config, path):
    """The rows of a file, as its form is: an iterator of `Row`."""
    ending = pathlib.Path(path.name.lower().removesuffix(".gz")).suffix
    if ending in FASTA:
        return _fasta_rows(config, path)
    if ending in UCI:
        return _uci_rows(path)
    return _table_rows(config, path)


def _table_rows(config, path):
    columns = config.sequence_column, config.label_column, config.split_column
    flags = "--sequence-column", "--label-column", "--split-column"
    wanted = {f: c for f, c in zip(flags, columns, strict=True) if c}
    for record in tables.read(path, wanted):
        values = dict(record.values)
        if record.error:
            yield Row(record.where, error=record.error)
            continue
        sequence, label = values.pop(columns[0]), values.pop(columns[1])
        split = str(values.pop(columns[2])) if columns[2] else None
        own = {"sequence": sequence, "label": label}
        # A column by our name that holds something else is not ours.
        others = {name: str(v) for name, v in values.items() if name not in own}
        yield Row(record.where, own | others, split)


def _uci_rows(path):
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        if not line.strip():
            continue
        where, cells = f"{path}, line {number}", [c.strip() for c in line.split(",")]
        if len(cells) != 3:
            error = f"expected class, name, sequence; received {len(cells)} cells"
            yield Row(where, error=error)
            continue
        label, name, sequence = cells
        yield Row(where, {"sequence": sequence, "label": label, "name": name})


def _fasta_rows(config, path):
    labels = _labels(config) if config.labels else None
    for record in fasta.read(path):
        if labels is not None:
            name, label = record.name, labels.get(record.name)
            error = f"{config.labels} has no row for the name {name!r}"
        else:
            name, found, label = record.header.rpartition(config.label_separator)
            label = label if found else None
            error = (
                f"expected a class behind {config.label_separator!r} in the header, "
                f"received {record.header[:80]!r}; name another --label-separator, or "
                "a table of --labels"
            )
        values = {"sequence": record.sequence, "label": label, "name": name.strip()}
        if label is None:
            yield Row(record.where, error=error)
        else:
            yield Row(record.where, values)


def _labels(config):
    """Name -> label, of the table that `config.labels` names."""
    path, found = path_of(config.labels), {}
    if not path.is_file():
        raise UserError(f"--labels expected a table; there is no file {path}.")
    for record in tables.read(path, {"--labels": "name", "its classes": "label"}):
        if record.error:
            raise UserError(f"{record.where}: {record.error}.")
        name, label = (str(record.values[column]) for column in ("name", "label"))
        if found.setdefault(name, label) != label:
            raise UserError(
                f"{record.where}: the name {name!r} has the class {label!r} here and "
                f"{found[name]!r} above."
            )
    return found


def _checked(config, row):
    """The row with its sequence and label as they are learned, or with its error."""
    if row.error:
        return row
    sequence, label = row.values["sequence"], row.values["label"]
    if not isinstance(sequence, str):
        return row._replace(error=f"expected a sequence, received {sequence!r}")
    sequence = normalised(sequence)
    name = str(label).strip() if isinstance(label, str | int | float) else ""
    error = why_no_sequence(sequence, config.max_length).partition(";")[0]
    if error.startswith("expected at most"):
        error += "; a greater --max-length would take it"
    if not error and not name:
        error = f"expected a class, received {label!r}"
    values = {**row.values, "sequence": sequence, "label": name}
    return row._replace(values=values, error=error or splits.error_of(row.split))


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    if config.data == "builtin":
        return f"--split={config.split} leaves none of its sequences to it"
    return splits.why_no_test(config, "sequence")
