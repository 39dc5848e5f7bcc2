"""What the words behind a verb mean: settings, decode options, and their help."""

import os
import pathlib

import typer

from .. import REGISTRY, load_config_module
from ..core.errors import UserError
from ..core.settings.command_line import parse_overrides, split_arguments
from ..core.settings.json_text import from_json
from .tables import show_options

# For the verbs that take options of the app, and whose --help shows them too.
OWN_HELP = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}
HELP = typer.Option(False, "--help", help="Show this and the app's options.")
PRESET = typer.Option("", help="Settings to start from; chosen by the data.")
PROMPT = typer.Option(None, help="A text, for the apps that read texts.")
JSON_LINES = typer.Option(False, "--json", help="One JSON object per line.")


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
    start = module.PRESETS[preset]()
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
    """The plain words, and the decode options that are not as by default."""
    decode = load_config_module(app).Decode
    words, options = split_arguments(decode, arguments)
    chosen = vars(parse_overrides(decode, options))
    default = vars(decode())
    return words, {k: value for k, value in chosen.items() if value != default[k]}


def split_run(app, arguments):
    """The folder if the first plain word is one, the other words, decode options."""
    words, options = split_words(app, arguments)
    folder = None
    if words and os.path.isdir(words[0]):
        folder, *words = words
    return folder, words, options


def show_settings_help(context, app, preset, file=""):
    """The help of a verb that takes settings, with those of an app."""
    print(context.get_help())
    if not app:
        print(f"Apps: {', '.join(REGISTRY)}")
        return
    origin, settings = read_settings(app, preset, context.args, file)
    print(f"Presets: {', '.join(load_config_module(app).PRESETS)}\n")
    show_options(settings, f"Options of {app}, as {origin} sets them")


def show_decoding_help(context, app):
    """The help of a verb that decodes, with the decode options of an app or of all."""
    print(context.get_help())
    for name in [app] if app else REGISTRY:
        show_options(load_config_module(name).Decode, f"How {name} decodes")
