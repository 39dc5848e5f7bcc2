"""The requests that TF Serving replays before a version goes live.

Without them the first client of every signature waits until its kernels are chosen and
its memory is there.
"""

import tensorflow as tf

FILE = "assets.extra/tf_serving_warmup_requests"


def write_warm_up(folder, functions, example, batch_sizes):
    """Write `FILE` into a version folder: one request per signature and batch size.

    Args:
        folder: the version folder, a Path.
        functions: the signatures by name, tf.functions with an `input_signature`.
        example: what a client may send, input name -> values, one per row.
        batch_sizes: numbers of rows.

    The file is a TFRecord of `PredictionLog` messages (tensorflow_serving/apis/
    prediction_log.proto). Their nested messages are written field by field here,
    because the package with the protos is an optional extra.
    """
    path = folder / FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, function in functions.items():
            for rows in batch_sizes:
                inputs = request(function.input_signature, example, rows)
                writer.write(_prediction_log(name, inputs))


def request(specs, example, rows):
    """Inputs by name, tensors of so many rows: the example's, again and again.

    What no example holds, the tokens and states of a step, is zeros; where its size is
    open, of size 1.
    """
    inputs = {}
    for spec in specs:
        if spec.name in example:
            given = example[spec.name]
            values = [given[i % len(given)] for i in range(rows)]
            inputs[spec.name] = tf.constant(values, spec.dtype)
        else:
            shape = [rows, *(size or 1 for size in spec.shape[1:])]
            inputs[spec.name] = tf.zeros(shape, spec.dtype)
    return inputs


def _prediction_log(signature, inputs):
    model_spec = _field(1, _field(3, signature.encode()))
    entries = (
        _field(
            2,
            _field(1, name.encode())
            + _field(2, tf.make_tensor_proto(value.numpy()).SerializeToString()),
        )
        for name, value in sorted(inputs.items())
    )
    request = model_spec + b"".join(entries)  # PredictRequest
    return _field(6, _field(1, request))  # PredictionLog.predict_log.request


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
