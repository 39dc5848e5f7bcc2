"""A table with the columns text, label and split, by the rule of benchmarks/DATA.md.

    python benchmarks/split_by_sha1.py \\
        "$SACCADE_DATA/sentiment_zh_hotel/ChnSentiCorp_htl_all.csv" rows.csv \\
        --text review --label label

writes rows.csv. The number h that the SHA-1 of a text is in UTF-8, modulo 10, says
where it goes: 0 to test, 1 to val, all others to train. So equal texts stay together.
Rows without a text are left out and counted.

    --topic COLUMN      also writes it, as the column topic
"""

import argparse
import collections
import hashlib
import pathlib

from saccade.apps.core.data import tables

SPLITS = {0: "test", 1: "val"}


def split_of(text):
    h = int(hashlib.sha1(text.encode()).hexdigest(), 16) % 10
    return SPLITS.get(h, "train")


def rows_of(path, columns):
    """The rows of a table with `split`.

    Args:
        columns: name -> the column of the table that it is taken from.
    """
    for record in tables.read(path, {f"--{n}": c for n, c in columns.items()}):
        row = {name: record.values.get(column) for name, column in columns.items()}
        if not record.error and row["text"].strip():
            yield row | {"split": split_of(row["text"])}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="label")
    parser.add_argument("--topic", default="")
    given = vars(parser.parse_args())
    names = [name for name in ("text", "label", "topic") if given[name]]
    rows = list(rows_of(given["table"], {name: given[name] for name in names}))
    tables.write(given["out"], rows)
    counts = collections.Counter(row["split"] for row in rows)
    print(f"{given['out']}: {len(rows)} rows, {dict(sorted(counts.items()))}")


if __name__ == "__main__":
    main()
