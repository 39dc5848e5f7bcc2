"""Exports: a SavedModel version folder that TF Serving loads as it is."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf

WARM_UP = "assets.extra/tf_serving_warmup_requests"


def write_export(run, to):
    """Write `<to>/<app>/<version>`, the next free version number.

    It is written to a temporary folder beside and renamed into place, so a server
    that watches `<to>/<app>` never sees half of it.

    Returns:
        the version folder, a Path.
    """
    base = pathlib.Path(to) / run.app.name
    base.mkdir(parents=True, exist_ok=True)
    functions = run.app.serve.signatures(
        run.model, run.config, run.assets, run.app.serve.exported_options(run.config)
    )
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=base))
    try:
        archive = keras.export.ExportArchive()
        archive.track(run.model)
        for name, function in functions.items():
            archive.add_endpoint(name, function)
        archive.write_out(str(temporary), verbose=False)
        write_warm_up(temporary, "serving_default", run.app.example())
        card = model_card(run, functions)
        (temporary / "model_card.json").write_text(json.dumps(card, indent=1))
        temporary.chmod(0o755)  # mkdtemp's own mode would lock the server out.
        return _rename_to_next_version(temporary, base)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def model_card(run, functions):
    """What somebody who finds the export must know."""
    versions = {
        package: importlib.metadata.version(package)
        for package in ("saccade", "tensorflow", "keras", "numpy")
    }
    traced = {name: f.get_concrete_function() for name, f in functions.items()}
    return {
        "app": run.app.name,
        "summary": run.app.summary,
        "config": dataclasses.asdict(run.config),
        "data": run.config.data,
        "seed": run.config.seed,
        "metrics": run.metrics,
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


def write_warm_up(folder, signature, inputs):
    """Write the requests that TF Serving replays before a version goes live.

    Args:
        folder: the version folder. signature: the one to call.
        inputs: dict of input name -> array with the batch first.

    The file is a TFRecord of `PredictionLog` messages (tensorflow_serving/apis/
    prediction_log.proto). Their four nested messages are written field by field
    here, because the package with the protos is an optional extra.
    """
    entries = b"".join(
        _field(
            2,
            _field(1, name.encode())
            + _field(2, tf.make_tensor_proto(value).SerializeToString()),
        )
        for name, value in inputs.items()
    )
    request = _field(1, _field(3, signature.encode())) + entries  # PredictRequest
    record = _field(6, _field(1, request))  # PredictionLog.predict_log.request
    path = folder / WARM_UP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record)


def _field(number, payload):
    """One length-delimited field of a protocol buffer message."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _specs(structure):
    return {
        name: f"{spec.dtype.name}{[d for d in spec.shape]}"
        for name, spec in structure.items()
    }


def _rename_to_next_version(temporary, base):
    while True:
        versions = [int(p.name) for p in base.iterdir() if p.name.isdecimal()]
        target = base / str(max(versions, default=0) + 1)
        try:
            os.rename(temporary, target)
        except OSError:
            if not target.exists():
                raise
        else:  # Somebody else may have taken the number meanwhile.
            return target
