"""FASTA: records of a header, `>name and more`, and a sequence in wrapped lines."""

import typing

from ..errors import UserError
from .texts import read_text


class Record(typing.NamedTuple):
    """A record of a file.

    where: the file, and the line of the header.
    header: what stands behind the `>`. sequence: its lines, joined, without white
        space.
    """

    where: str
    header: str
    sequence: str

    @property
    def name(self):
        """The first word of the header, or ""."""
        return self.header.partition(" ")[0]


def is_fasta(text):
    """Whether a text begins as FASTA does."""
    return text.lstrip().startswith(">")


def read(path):
    """The records of a file, gzip where its name ends in .gz: list of `Record`.

    Raises:
        UserError: it cannot be read, or does not begin with a header.
    """
    return parse(read_text(path), path)


def parse(text, path):
    """The records of the text of a file; see `read`."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line.startswith(">"):
            found.append((f"{path}, line {number}", line[1:].strip(), []))
        elif line and not line.startswith(";"):  # an old form of comments
            if not found:
                raise UserError(
                    f"{path}, line {number}: expected FASTA, whose first line begins "
                    f"with >; received {line[:40]!r}."
                )
            found[-1][2].append("".join(line.split()))
    return [Record(where, header, "".join(parts)) for where, header, parts in found]


def write(records):
    """The text of a file, sequences in lines of 60 letters.

    Args:
        records: pairs (header, sequence).
    """
    lines = []
    for header, sequence in records:
        lines.append(f">{header}")
        lines += [sequence[i : i + 60] for i in range(0, len(sequence), 60)]
    return "".join(f"{line}\n" for line in lines)
