"""Rows of data: as a file names them, in columns, and in splits."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import typing


class Row(typing.NamedTuple):
    """One example, as it stands somewhere."""

    where: str  # the file, and the line or the entry
    values: dict = {}  # column -> value
    split: str | None = None  # as the file names it; None: as --split says
    error: str = ""  # why the row cannot be used


class Examples:
    """Examples in columns: name -> list, one value per example. The columns that bear
    the names of a task's input kinds are requests, the others are what is right.

    Args:
        columns: all of the same length.
    """

    def __init__(self, **columns):
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"Expected columns of one length, received {lengths}.")
        self.columns = columns

    @classmethod
    def from_rows(cls, rows, names):
        """Examples of `Row`s, with the columns `names`."""
        return cls(**{name: [row.values[name] for row in rows] for name in names})

    def __len__(self):
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, key):
        """A column by its name, or the examples of a slice."""
        if isinstance(key, str):
            return self.columns[key]
        return Examples(**{name: values[key] for name, values in self.columns.items()})

    def __contains__(self, name):
        return name in self.columns

    def requests(self, kinds):
        """What `predict` takes: a list of dicts, one value per kind."""
        columns = [self.columns[name] for name in kinds]
        return [
            dict(zip(kinds, values, strict=True))
            for values in zip(*columns, strict=True)
        ]


@dataclasses.dataclass
class Splits:
    """Three `Examples`, or what else a family of tasks learns from.

    digest: the sha256 of all of it, where whoever read it has worked it out already.
    paths: names of columns whose strings are paths of files, which count by content.
    """

    train: typing.Any
    validation: typing.Any
    test: typing.Any
    digest: str = ""
    paths: tuple[str, ...] = ()

    @functools.cached_property
    def sha256(self):
        """Of all columns, in their order, and how they are split.

        It may read many files, so it is worked out where it is asked for.
        """
        if self.digest:
            return self.digest
        whole = hashlib.sha256()
        for examples in (self.train, self.validation, self.test):
            whole.update(f"{len(examples)} examples\n".encode())
            for name, values in examples.columns.items():
                whole.update(f"{name}\n".encode())
                for value in values:
                    whole.update(_digest(value, name in self.paths))
        return whole.hexdigest()


def _digest(value, is_path):
    if is_path and not isinstance(value, bytes):
        value = pathlib.Path(value).read_bytes()
    if not isinstance(value, bytes):
        value = json.dumps(value).encode()
    return hashlib.sha256(value).digest()
