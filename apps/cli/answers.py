"""What `predict` and `client` share: answers shown, drawn, and written."""

import json
import pathlib
import sys

import typer

from ..core.data import tables
from ..core.data.sieve import NAMED
from ..core.errors import UserError
from ..core.files.whole import write_text
from .requests import read_requests

PAGES = (".html", ".htm")


def show_answers(loaded, words, options, how):
    """Ask a run, an export or a server, and show what it answers.

    Args:
        loaded: `Run`, `Export` or `Served`. words: `requests.Words`.
        options: dict, fields of `Options`. how: `How`.
    """
    task = loaded.task
    signature = how.signature or (task.drawn if how.plot else "serving_default")
    kinds = task.signature(signature).kinds
    requests, labels, given = read_requests(kinds, words, how.table, task.readers)
    plain = not (how.as_json or how.to or how.plot or how.sort)
    if plain and loaded.streams and signature == "serving_default":
        _stream(loaded, requests, labels, options)
        return
    answers = loaded.predict(requests, signature, **options)
    if how.plot:
        _draw(loaded, requests, answers, how.plot)
        print(f"drawn: {how.plot}", file=sys.stderr)
    given = _beside(given, answers)
    rows = list(zip(requests, labels, given, answers, strict=True))
    if how.sort:
        rows.sort(key=_sorting_by(how.sort, answers))
    if how.to:
        requests, _, given, answers = ([row[i] for row in rows] for i in range(4))
        task.write(how.to, kinds, requests, answers, given)
        _print_failed(rows)
        print(f"written: {how.to}", file=sys.stderr)
    elif how.as_json:
        for _, _, others, answer in rows:
            line = tables.as_lists(others | answer)
            print(json.dumps(line, ensure_ascii=False))
    else:
        _print_lines(task, rows)
    if not all(answer["ok"] for answer in answers):
        raise typer.Exit(1)


def check_files(app, how):
    """An error, before a model is loaded, where its answers could not be kept.

    Args:
        app: an `App`. how: `How`.
    """
    task = app.task_for(app.Config())
    if how.plot:
        _check_ending("--plot", how.plot, _drawn_endings(task, how.signature))
    if how.to:
        _check_ending("--to", how.to, task.writes)
    for option, path in (("--plot", how.plot), ("--to", how.to)):
        if path and not pathlib.Path(path).absolute().parent.is_dir():
            raise UserError(
                f"{option}: there is no folder {pathlib.Path(path).parent}."
            )


def _drawn_endings(task, signature):
    from matplotlib.backend_bases import FigureCanvasBase

    if task.draw is None:
        return ()  # `draw` says what there is instead
    if task.animates and signature in ("", task.drawn):
        return (".gif",)
    pictures = [f".{name}" for name in FigureCanvasBase.get_supported_filetypes()]
    return (*pictures, *(PAGES if task.page is not None else ()))


def _check_ending(option, path, endings):
    if endings and pathlib.Path(path).suffix.lower() not in endings:
        *others, last = endings
        either = f"{', '.join(others)} or " if others else ""
        raise UserError(
            f"{option} expected a file with the ending {either}{last}; received {path}."
        )


def _beside(given, answers):
    """What stands beside the requests, by names that no answer has: else `given_NAME`.

    Args:
        given: list of dicts. answers: list of dicts, one each.
    """
    taken = {name for answer in answers for name in answer}
    names = {}
    for name in dict.fromkeys(name for others in given for name in others):
        names[name] = name
        while names[name] in taken:
            names[name] = f"given_{names[name]}"
        taken.add(names[name])
    return [{names[k]: v for k, v in others.items()} for others in given]


def _draw(loaded, requests, answers, path):
    """Into a file by its ending: .html, or what `plot.write` writes."""
    from ..core.report import plot

    if path.lower().endswith(PAGES):
        write_text(path, loaded.page(requests, answers))
    else:
        plot.write(loaded.draw(requests, answers), path)


def _print_lines(task, rows):
    for _, label, _, answer in rows:
        if answer["ok"]:
            name = f"{label}: " if label else ""
            print(f"{name}{task.show(answer)}")
        else:
            _print_error(label, answer)


def _print_error(label, answer):
    named = not label or answer["error"].startswith(label)
    name = "" if named else f"{label}: "
    print(f"{name}{answer['error']}", file=sys.stderr)


def _print_failed(rows):
    """A line for each row that has no answer, the first of many."""
    failed = [(label, answer) for _, label, _, answer in rows if not answer["ok"]]
    for label, answer in failed[:NAMED]:
        _print_error(label, answer)
    if len(failed) > NAMED:
        print(f"and {len(failed) - NAMED} more without an answer", file=sys.stderr)


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
