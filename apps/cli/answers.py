"""What `predict` and `client` share: inputs in, printed answers out."""

import json
import sys

import typer

from .. import load_config_module
from ..core.errors import Unanswered, UserError
from .inputs import find_files, find_texts, why_not_read


def print_answers(app, words, prompt, as_json, plot, load, options):
    """Print the answers of what `load` returns: a run, an export or a server.

    Args:
        app: its name. words, prompt: what names the inputs.
        load: called only once the inputs are known to be some.
        options: dict, the decode options that are not as by default.
    """
    if load_config_module(app).READS == "texts":
        texts = find_texts(words, prompt)
        _print_text_answers(load(), texts, options, as_json, plot)
        return
    if prompt is not None:
        raise UserError(f"--prompt is for the apps that read texts; {app} reads files.")
    _print_file_answers(find_files(words), load, options, as_json, plot)


def _print_file_answers(files, load, options, as_json, plot):
    loaded = load()
    answers = loaded.predict(files, **options)
    for name, answer in zip(files, answers, strict=True):
        if as_json:
            error = {} if answer["ok"] else {"error": why_not_read(name)}
            row = {"input": name, **_as_json_values(answer), **error}
            print(json.dumps(row, ensure_ascii=False))
        elif answer["ok"]:
            print(f"{name}: {answer['caption']}  ({answer['score']:.2f})")
        else:
            print(f"{name}: {why_not_read(name)}", file=sys.stderr)
    if plot:
        loaded.draw(files, answers).savefig(plot)
        print(f"drawn: {plot}", file=sys.stderr)
    _exit_unless_all_ok(answers)


def _print_text_answers(loaded, texts, options, as_json, plot):
    if plot:
        loaded.draw([], [])
    if not as_json:
        try:
            for part in loaded.app.serve.terminal_parts(loaded, texts, options):
                print(part, end="", flush=True)
        except Unanswered as error:
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
            raise typer.Exit(1) from None
        return
    answers = loaded.predict(texts, **options)
    for answer in answers:
        print(json.dumps(_as_json_values(answer), ensure_ascii=False))
    _exit_unless_all_ok(answers)


def _exit_unless_all_ok(answers):
    if not all(answer["ok"] for answer in answers):
        raise typer.Exit(1)


def _as_json_values(answer):
    """Arrays to lists, so that JSON takes them."""
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in answer.items()}
