"""What `predict` and `client` share: answers shown, drawn, and written."""

import json
import sys

import typer

from ..core.data import tables
from ..core.errors import UserError
from ..core.files.whole import write_text
from .requests import read_requests


def show_answers(loaded, words, options, how):
    """Ask a run, an export or a server, and show what it answers.

    Args:
        loaded: `Run`, `Export` or `Served`. words: `requests.Words`.
        options: dict, fields of `Options`. how: `How`.
    """
    task = loaded.task
    signature = how.signature or (task.drawn if how.plot else "serving_default")
    kinds = task.signature(signature).kinds
    requests, labels = read_requests(kinds, words, how.table)
    plain = not (how.as_json or how.to or how.plot or how.sort)
    if plain and loaded.streams and signature == "serving_default":
        _stream(loaded, requests, labels, options)
        return
    answers = loaded.predict(requests, signature, **options)
    if how.plot:
        _draw(loaded, requests, answers, how.plot)
        print(f"drawn: {how.plot}", file=sys.stderr)
    rows = list(zip(requests, labels, answers, strict=True))
    if how.sort:
        rows.sort(key=_sorting_by(how.sort, answers))
    if how.to:
        task.write(how.to, kinds, [r for r, _, _ in rows], [a for _, _, a in rows])
        print(f"written: {how.to}", file=sys.stderr)
    elif how.as_json:
        for _, _, answer in rows:
            print(json.dumps(tables.as_lists(answer), ensure_ascii=False))
    else:
        _print_lines(task, rows)
    if not all(answer["ok"] for answer in answers):
        raise typer.Exit(1)


def _draw(loaded, requests, answers, path):
    """Into a file by its ending: .html, or what matplotlib writes."""
    if path.lower().endswith((".html", ".htm")):
        write_text(path, loaded.page(requests, answers))
    else:
        loaded.draw(requests, answers).savefig(path)


def _print_lines(task, rows):
    for _, label, answer in rows:
        name = f"{label}: " if label else ""
        if answer["ok"]:
            print(f"{name}{task.show(answer)}")
        else:
            print(f"{name}{answer['error']}", file=sys.stderr)


def _stream(loaded, requests, labels, options):
    """Every answer in parts, as it is being made."""
    failed = False
    for label, request in zip(labels, requests, strict=True):
        if len(requests) > 1 and label:
            print(f"==> {label} <==")
        try:
            for part in loaded.stream(request, **options):
                print(part, end="", flush=True)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
            continue
        print()
    if failed:
        raise typer.Exit(1)


def _sorting_by(figure, answers):
    """A key that puts the greatest figure first, and what has none last."""
    known = {name: None for answer in answers for name in answer}
    if answers and figure not in known:
        raise UserError(
            f"--sort expected a figure of the answers, one of {', '.join(known)}; "
            f"received {figure!r}."
        )

    def key(row):
        *_, answer = row
        value = answer.get(figure) if answer["ok"] else None
        return (0, -value) if isinstance(value, int | float) else (1, 0)

    return key
