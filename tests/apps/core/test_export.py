"""Exports: version folders that appear whole or not at all, warm-up, model card."""

import dataclasses
import json
import os
import stat
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import saccade.apps.core.export as export


@dataclasses.dataclass(frozen=True)
class Config:
    data: str = "builtin"
    seed: int = 5
    units: tuple = (2, 3)


def signatures(model, config, assets, options):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def respond(text):
        lengths = tf.cast(tf.strings.length(text), tf.float32)[:, None]
        return {"answer": model(lengths), "echo": text}

    return {"serving_default": respond}


def make_run(sign=signatures, scale=1.0):
    """As much of a Run as an export needs: a model of one weight."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((1, 1), scale, "float32")])
    serve = types.SimpleNamespace(signatures=sign, exported_options=lambda config: None)
    app = types.SimpleNamespace(
        name="lengths",
        summary="how long a text is",
        serve=serve,
        example=lambda: {"text": ["four", "语言"]},
    )
    metrics = {"exact_match": 12.5}
    return types.SimpleNamespace(
        app=app, config=Config(), assets=None, model=model, metrics=metrics
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export.write_export(make_run(), tmp_path_factory.mktemp("exports"))


def test_version_numbers_go_up(tmp_path):
    first = export.write_export(make_run(scale=1.0), tmp_path)
    second = export.write_export(make_run(scale=2.0), tmp_path)
    assert [first, second] == [tmp_path / "lengths/1", tmp_path / "lengths/2"]
    # What an operator may have put beside them counts only if it is a number.
    for name in ("7", "canary", "12.old"):
        (tmp_path / "lengths" / name).mkdir()
    assert export.write_export(make_run(scale=3.0), tmp_path).name == "8"
    for version, scale in ((1, 1.0), (2, 2.0), (8, 3.0)):
        loaded = tf.saved_model.load(str(tmp_path / "lengths" / str(version)))
        answer = loaded.signatures["serving_default"](text=tf.constant(["abc"]))
        np.testing.assert_allclose(answer["answer"], [[3 * scale]])


def test_a_version_taken_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    rename = os.rename

    def slow(source, target):
        if target.name == "1":  # Somebody else is faster.
            target.mkdir()
            (target / "saved_model.pb").write_text("theirs")
        rename(source, target)

    monkeypatch.setattr(export.os, "rename", slow)
    assert export.write_export(make_run(), tmp_path).name == "2"
    assert (tmp_path / "lengths/1/saved_model.pb").read_text() == "theirs"


@pytest.mark.parametrize("step", ["signatures", "write_warm_up", "model_card"])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, step):
    def fail(*arguments, **options):
        raise RuntimeError("disk on fire")

    run = make_run(sign=fail if step == "signatures" else signatures)
    if step != "signatures":
        monkeypatch.setattr(export, step, fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        export.write_export(run, tmp_path)
    assert list((tmp_path / "lengths").iterdir()) == []


def test_others_may_read_it(folder):
    """TF Serving runs as another user than the one who exports."""
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        needed = 0o055 if path.is_dir() else 0o044
        assert mode & needed == needed, f"{path} has mode {mode:o}"
    assert sorted(p.name for p in folder.parent.iterdir()) == ["1"]


def test_model_card(folder):
    card = json.loads((folder / "model_card.json").read_text("utf-8"))
    assert card["app"] == "lengths"
    assert card["summary"] == "how long a text is"
    assert card["config"] == {"data": "builtin", "seed": 5, "units": [2, 3]}
    assert (card["data"], card["seed"]) == ("builtin", 5)
    assert card["metrics"] == {"exact_match": 12.5}
    assert card["parameters"] == 1
    assert card["signatures"] == {
        "serving_default": {
            "inputs": {"text": "string[None]"},
            "outputs": {"answer": "float32[None, 1]", "echo": "string[None]"},
        }
    }
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["versions"]["keras"] == keras.__version__
    assert set(card["versions"]) >= {"saccade", "numpy"}


def records(folder):
    file = folder / "assets.extra/tf_serving_warmup_requests"
    return [record.numpy() for record in tf.data.TFRecordDataset(str(file))]


# A PredictionLog of {"text": ["four", "语言"]} for serving_default, as the messages of
# tensorflow-serving-api 2.21.0 serialise it.
WARM_UP = (
    "32350a330a111a0f73657276696e675f64656661756c74121e0a04746578741216080712041202"
    "08024204666f75724206e8afade8a880"
)


def test_warm_up_is_what_the_messages_of_tf_serving_write(folder):
    assert [record.hex() for record in records(folder)] == [WARM_UP]


def test_warm_up_is_read_by_tf_serving(folder):
    logs = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not installed (extra: serving)",
    )
    loaded = tf.saved_model.load(str(folder))
    for record in records(folder):
        log = logs.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert log.SerializeToString(deterministic=True) == record
        inputs = {
            name: tf.constant(tf.make_ndarray(value))
            for name, value in request.inputs.items()
        }
        answer = loaded.signatures[request.model_spec.signature_name](**inputs)
        np.testing.assert_array_equal(answer["echo"], [b"four", "语言".encode()])


def test_warm_up_of_a_long_request(folder, tmp_path):
    """Lengths above 127 take several bytes in a message."""
    text = "long " * 5000
    export.write_warm_up(tmp_path, "serving_default", {"text": [text]})
    (record,) = records(tmp_path)
    assert record.count(text.encode()) == 1
    logs = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not installed (extra: serving)",
    )
    request = logs.PredictionLog.FromString(record).predict_log.request
    assert tf.make_ndarray(request.inputs["text"]).tolist() == [text.encode()]
