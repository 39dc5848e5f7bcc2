"""The parsers of files under atheris, which looks for new paths through their code.

    pip install atheris
    python tests/fuzz_parsers.py -max_total_time=600 -rss_limit_mb=8192

Everything behind the file's name is libFuzzer's; its watching takes ever more memory,
which the same inputs do not take without it. The first byte of an input chooses
the form of file, the rest is its content. A fault ends it, and the input that did it
is written to `crash-...`. Not collected by pytest: see `test_fuzz.py` for what is.
"""

import gzip
import json
import pathlib
import sys
import tempfile

import atheris

# Only our own code is watched.
with atheris.instrument_imports(include=["saccade"]):
    from fuzz_targets import (
        TABLE_ENDINGS,
        TEXT_ENDINGS,
        assets,
        settings,
        table,
        text_file,
    )

    import saccade.apps.captioning.data
    import saccade.apps.char_lm.data
    import saccade.apps.word_lm.data  # noqa: F401  the targets import them too late
    from saccade.apps.core.errors import UserError

FORMS = [
    *((table, ending) for ending in TABLE_ENDINGS),
    *((text_file, ending) for ending in TEXT_ENDINGS),
]


def one(content):
    if not content:
        return
    number, content = content[0] % (len(FORMS) + 2), content[1:]
    try:
        if number < len(FORMS):
            function, ending = FORMS[number]
            more = () if function is table else ("tagged",)
            function(ending, content, *more)
        elif number == len(FORMS):
            settings(content)
        else:
            assets(content.decode("utf-8", "replace"))
    except UserError:
        pass


def seeds(folder):
    """One sound file of each form, to begin with."""
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}],
    }
    rows = [
        "image,caption\na.png,a cat\n",
        "image\tcaption\na.png\ta cat\n",
        json.dumps({"image": "a.png", "caption": ["a cat"]}),
        json.dumps(coco),
        "a.png#0\ta cat\n",
        "image,caption\na.png,a cat\n",
        "the/DT cat/NN sat/VB\n" * 4,
        gzip.compress(b"the/DT cat/NN\n" * 4, mtime=0),
        json.dumps({"data": "builtin", "units": 3}),
        json.dumps({"units": "words", "tokens": ["a"], "characters": "ab"}),
    ]
    for number, row in enumerate(rows):
        row = row.encode() if isinstance(row, str) else row
        (folder / str(number)).write_bytes(bytes([number]) + row)


if __name__ == "__main__":
    corpus = pathlib.Path(tempfile.mkdtemp(prefix="corpus-"))
    seeds(corpus)
    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()
