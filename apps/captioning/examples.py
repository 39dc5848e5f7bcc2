"""Pictures with their captions, and how they are split."""

import dataclasses
import functools
import hashlib
import json
import pathlib


@dataclasses.dataclass
class Examples:
    """Pictures with their captions.

    files: a path, or the bytes of an encoded picture, per picture.
    captions: the reference sentences of each picture.
    boxes: builtin only; per picture a list of {"word": "circle", "box": (x0, y0, x1,
        y1)}, the objects and where they are, in shares of the side.
    """

    files: list[str | bytes] = dataclasses.field(default_factory=list)
    captions: list[list[str]] = dataclasses.field(default_factory=list)
    boxes: list[list[dict]] | None = None

    def __len__(self):
        return len(self.files)


@dataclasses.dataclass
class Splits:
    train: Examples
    validation: Examples
    test: Examples

    @functools.cached_property
    def sha256(self):
        """Of all pictures and captions, in their order, and how they are split.

        It reads every picture, so it is worked out where it is asked for.
        """
        whole = hashlib.sha256()
        for examples in (self.train, self.validation, self.test):
            whole.update(f"{len(examples)} pictures\n".encode())
            for file, captions in zip(examples.files, examples.captions, strict=True):
                content = file
                if not isinstance(file, bytes):
                    content = pathlib.Path(file).read_bytes()
                whole.update(hashlib.sha256(content).digest())
                whole.update(json.dumps(captions).encode())
        return whole.hexdigest()
