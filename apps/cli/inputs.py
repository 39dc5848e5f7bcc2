"""The inputs that the words of `predict` and `client` name."""

import os
import pathlib
import sys

from ..core.errors import UserError


def find_files(words):
    """File names: the words, patterns resolved, and the lines of standard input."""
    if not words:
        raise UserError("Expected at least one input: a file, a pattern, or -.")
    files = []
    for word in words:
        if word == "-":
            lines = _read_standard_input().splitlines()
            files += [line.strip() for line in lines if line.strip()]
        elif any(c in word for c in "*?["):
            path = pathlib.Path(word)
            root = pathlib.Path(path.anchor or ".")
            found = sorted(
                str(p) for p in root.glob(str(path.relative_to(path.anchor)))
            )
            # A pattern that fits nothing is named as it is: perhaps it is no pattern
            # but a file called so, and else it fails alone, as a missing file does.
            files += found or [word]
        else:
            files.append(word)
    return files


def find_texts(words, prompt):
    """The prompt, or the paths of files and the text of standard input."""
    if prompt is not None:
        if words:
            raise UserError(
                "Expected --prompt or files, not both; received --prompt and "
                f"{' '.join(words)}, which is no run's folder."
            )
        return [prompt]
    if not words:
        raise UserError("Expected --prompt TEXT, a text file, or - for standard input.")
    texts = []
    for word in words:
        if word == "-":
            texts.append(_read_standard_input())
        else:
            texts += map(pathlib.Path, find_files([word]))
    return texts


def _read_standard_input():
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UserError(f"Standard input is no UTF-8: {error}.") from None


def why_not_read(name):
    """What is wrong with a file that gave no answer: half a sentence."""
    if os.path.isdir(name):
        return f"is a folder; name its files, as '{pathlib.Path(name)}/*'"
    if not os.path.exists(name):  # nor can there be, with some names
        return "there is no such file"
    return "is no JPEG, PNG, GIF, BMP or WebP picture, or a broken or too large one"
