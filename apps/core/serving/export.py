"""Exports: a SavedModel version folder that TF Serving loads as it is."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import shutil
import tempfile

import tensorflow as tf

from ..files.locks import locked
from . import server
from .warm_up import write_warm_up

# No server takes this for a version, nor for a model.
WRITING = ".writing-"


def write_export(run, exported, to, labels=()):
    """Write `<to>/<app>/<version>`, the next version by TF Serving's rule.

    It is written to a temporary folder beside and renamed into place, so a server
    that watches `<to>/<app>` never sees half of it, whenever this process dies.
    `<to>/models.config` and `<to>/batching.config` are then written anew.

    Args:
        run: a `Run`.
        exported: `Exported`, what of it.
        to: the folder of all models.
        labels: names that clients may use for this version instead of its number;
            they leave the versions that had them.

    Returns:
        the version folder, a Path.
    """
    to = pathlib.Path(to)
    base = to / run.app.name
    server.check_labels(labels)
    server.read_labels(to)  # An error now, if the file is broken.
    base.mkdir(parents=True, exist_ok=True)
    functions = exported.functions
    with contextlib.ExitStack() as stack:
        with locked(to):
            remove_leftovers(to, base)
            temporary = pathlib.Path(tempfile.mkdtemp(prefix=WRITING, dir=base))
            stack.callback(shutil.rmtree, temporary, ignore_errors=True)
            stack.enter_context(locked(temporary))
        save(run.model, functions, temporary)
        # A server must be told to allow XLA, and refuses a version that it cannot warm
        # up.
        warmed_up = {k: f for k, f in functions.items() if k not in exported.compiled}
        sizes = server.BATCH_SIZES
        write_warm_up(temporary, warmed_up, exported.example, sizes)
        write_card(temporary, model_card(run, exported))
        temporary.chmod(0o755)  # mkdtemp's own mode would lock the server out.
        flush(temporary)
        with locked(to):
            target = _rename_to_next_version(temporary, base)
            _tell_the_server(to, run.app.name, int(target.name), labels)
    return target


def save(model, functions, folder):
    """Write a SavedModel with these signatures.

    `keras.export.ExportArchive` writes every function twice, traced anew, as a
    signature and as an attribute of what is loaded: loading took twice as long.

    Args:
        model: a keras.Model, with all variables and tables that the functions read.
        functions: name -> tf.function with an `input_signature`.
        folder: a Path.
    """
    resources = [
        part
        for part in tf.train.TrackableView(model).descendants()
        if isinstance(part, tf.saved_model.experimental.TrackableResource)
    ]
    module = tf.Module()
    module.tracked = [*(v.value for v in model.variables), *resources]
    signatures = {name: f.get_concrete_function() for name, f in functions.items()}
    tf.saved_model.save(module, str(folder), signatures=signatures)


@dataclasses.dataclass(frozen=True)
class Exported:
    """What is exported of a run.

    functions: the signatures by name, tf.functions with an `input_signature`.
    compiled: the names of those that hold XLA.
    options: the `Options` by which they answer.
    example: tensor name -> two rows, as a client may send them.
    """

    functions: dict
    compiled: tuple
    options: object
    example: dict


def model_card(run, exported):
    """What somebody who finds the export must know, a dict."""
    functions = exported.functions
    versions = {
        package: importlib.metadata.version(package)
        for package in ("saccade", "tensorflow", "keras", "numpy")
    }
    traced = {name: f.get_concrete_function() for name, f in functions.items()}
    return {
        "app": run.app.name,
        "summary": run.app.summary,
        "config": dataclasses.asdict(run.config),
        "data": {"name": run.config.data, "sha256": _data_sha256(run.folder)},
        "seed": run.config.seed,
        "metrics": run.metrics,
        "options": dataclasses.asdict(exported.options),
        "parameters": run.model.count_params(),
        "signatures": {
            name: {
                "inputs": _specs({t.name: t for t in function.input_signature}),
                "outputs": _specs(traced[name].structured_outputs),
            }
            for name, function in functions.items()
        },
        "versions": versions,
    }


def write_card(folder, card):
    text = json.dumps(card, indent=1, ensure_ascii=False)
    (folder / "model_card.json").write_text(text, "utf-8")


def remove_leftovers(to, base):
    """Remove what exports left that were killed: nobody holds their lock any more."""
    for folder in base.glob(f"{WRITING}*"):
        with locked(folder, wait=False) as dead:
            if dead:
                shutil.rmtree(folder, ignore_errors=True)
    for file in to.glob(f"{WRITING}*"):  # Written only by who holds the lock on `to`.
        file.unlink(missing_ok=True)


def flush(folder):
    """Bring a folder's files to the disk: the rename must not get there before them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())


def _rename_to_next_version(temporary, base):
    while True:
        greatest = max(server.versions(base), default=0)
        target = base / str(greatest + 1)
        try:
            os.rename(temporary, target)
        except OSError:
            if not target.exists():
                raise
        else:  # Somebody else may have taken the number meanwhile.
            return target


def _tell_the_server(to, app, version, labels):
    """Write models.config and batching.config, with the labels moved."""
    before = server.read_labels(to)
    after = {**before, app: {**before.get(app, {}), **dict.fromkeys(labels, version)}}
    # A server that reads the file while it runs loads versions first and moves labels
    # later: until then requests by a label go to the version that had it.
    kept = {name: set(given.values()) for name, given in before.items()}
    server.write_server_files(to, after, kept)


def _data_sha256(folder):
    """Of the data that the run in this folder was trained on; None where an older
    version trained it, which did not write that down."""
    path = folder / "data.json"
    return json.loads(path.read_text("utf-8"))["sha256"] if path.exists() else None


def _specs(structure):
    return {
        name: f"{spec.dtype.name}{[d for d in spec.shape]}"
        for name, spec in structure.items()
    }
