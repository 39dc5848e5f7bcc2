"""Where data lies, and what it looks like, for people."""

import os
import pathlib

import rich.filesize

from . import prepared


def path_of(name):
    """A path; ~ is the home folder, where there is such a user, and never an error."""
    return pathlib.Path(os.path.expanduser(name))


def lies_in(config, **made):
    """Where the data that a config names lies, for people.

    Args:
        made: values of `config.data` that name no place -> what to say of them.
    """
    if config.data in made:
        return made[config.data]
    if config.data.startswith("tfds:"):
        return prepared.where(config.data, config.data_dir)
    path = path_of(config.data).absolute()
    if path.is_dir():
        return str(path)
    return f"{path}, {rich.filesize.decimal(path.stat().st_size)}"


def spec_text(tensors):
    """Names, types and shapes of a dict of tensor specs, for people."""
    return ", ".join(
        f"{name} {spec.dtype.name} {tuple(spec.shape)}"
        for name, spec in tensors.items()
    )
