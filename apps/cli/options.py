"""What the words behind a verb mean: settings, inputs, options, and their help."""

import dataclasses
import os
import pathlib

import typer

from .. import REGISTRY, load_config_module
from ..core.errors import UserError
from ..core.settings.command_line import flag_of, parse_overrides, split_arguments
from ..core.settings.json_text import from_json
from .requests import Words, flags_of, kinds_of, part_kinds
from .tables import show_inputs, show_options

# For the verbs that take options of the app, and whose --help shows them too.
OWN_HELP = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}
HELP = typer.Option(False, "--help", help="Show this and the app's options.")
PRESET = typer.Option("", help="Settings to start from; chosen by the data.")
JSON_LINES = typer.Option(False, "--json", help="One JSON object per line.")
SIGNATURE = typer.Option(
    "", help="Which question is asked; else serving_default, or what --plot draws."
)
TABLE = typer.Option(
    "",
    metavar="FILE",
    help="Requests: a row each, by columns that are called as the inputs.",
)
TO = typer.Option(
    "",
    metavar="FILE",
    help="Write the answers: .csv, .tsv or .jsonl, with all columns of --table; one "
    "that is called as a part of the answer becomes given_NAME.",
)
SORT = typer.Option("", metavar="FIGURE", help="The answers with the most of it first.")
PLOT = typer.Option(
    "",
    metavar="FILE",
    help="Draw the answers into this picture, as .png or .svg; .gif where they move.",
)


@dataclasses.dataclass(frozen=True)
class How:
    """How answers are asked for and shown."""

    signature: str = ""
    as_json: bool = False
    table: str = ""
    to: str = ""
    sort: str = ""
    plot: str = ""


def read_settings(app, preset, arguments, file=""):
    """What the settings start from, for people, and they with the arguments set.

    They start from the file where there is one, else from the preset, as named or as
    the data chooses it.
    """
    module = load_config_module(app)
    given = {word.partition("=")[0] for word in arguments}
    if "--minutes" in given and "--steps" not in given:
        arguments = [*arguments, "--steps=0"]  # Else the start's steps would count.
    if file:
        if preset:
            raise UserError(
                f"Expected --config or --preset, received both: {file} and {preset}."
            )
        return file, parse_overrides(_read_config(app, module, file), arguments)
    preset = preset or module.preset_for(parse_overrides(module.Config, arguments).data)
    if preset not in module.PRESETS:
        known = ", ".join(module.PRESETS)
        raise UserError(f"--preset expected one of {known}; received {preset!r}.")
    start = module.Config(**module.PRESETS[preset])
    return f"the preset {preset}", parse_overrides(start, arguments)


def _read_config(app, module, file):
    """The config in a JSON file; an error names the file."""
    try:
        text = pathlib.Path(file).read_text("utf-8")
        return from_json(module.Config, text, app)
    except OSError as error:
        raise UserError(
            f"--config expected a run's config.json; could not read {file}: "
            f"{error.strerror}."
        ) from None
    except ValueError as error:  # also: no UTF-8
        text = f"--config expected a run's config.json; {file}: {error}"
        raise UserError(text) from None


def split_words(app, arguments):
    """What stands behind a verb that answers.

    Returns:
        `requests.Words`; a dict, the fields of `Options` that are not as by default.
    """
    cls = load_config_module(app).Options
    values, others = part_kinds(app, arguments)
    inputs = [flag.removeprefix("--").replace("-", "_") for flag in flags_of(app)]
    plain, given = split_arguments(cls, others, inputs)
    chosen, default = vars(parse_overrides(cls, given)), vars(cls())
    options = {k: value for k, value in chosen.items() if value != default[k]}
    return Words(plain, values), options


def split_run(app, arguments):
    """As `split_words`, and before it the folder, if the first plain word is one that
    holds a run or an export; else None."""
    words, options = split_words(app, arguments)
    if words.plain and holds_run(words.plain[0]):
        folder, *words.plain = words.plain
        return folder, words, options
    return None, words, options


def check_given(app, words, table):
    """An error, before anything is loaded, where no request is given at all."""
    if not (words.plain or words.values or table):
        kinds = kinds_of(app, every=False).items()
        flags = " and ".join(flag_of(kind.alias or name) for name, kind in kinds)
        raise UserError(
            f"Expected at least one input: {flags}, a file, a pattern, - or --table."
        )


def holds_run(folder):
    """Whether a folder is a run's or an export's."""
    files = ("config.json", "saved_model.pb")
    return any(os.path.isfile(os.path.join(folder, name)) for name in files)


def show_settings_help(context, app, preset, file=""):
    """The help of a verb that takes settings, with those of an app."""
    print(context.get_help())
    if not app:
        print(f"Apps: {', '.join(REGISTRY)}")
        return
    origin, settings = read_settings(app, preset, context.args, file)
    print(f"Presets: {', '.join(load_config_module(app).PRESETS)}\n")
    show_options(settings, f"Options of {app}, as {origin} sets them")


def show_answering_help(context, app):
    """The help of a verb that answers, with the inputs and options of an app or all."""
    print(context.get_help())
    for name in [app] if app else REGISTRY:
        show_inputs(kinds_of(name), f"What {name} reads")
        show_options(load_config_module(name).Options, f"How {name} answers")
