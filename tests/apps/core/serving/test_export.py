"""Exports: version folders that appear whole or not at all, warm-up, model card, and
the files that tell a server what to serve."""

import concurrent.futures
import dataclasses
import importlib.util
import json
import os
import pathlib
import stat
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import saccade.apps.core.serving.export as export
from saccade.apps.core.errors import UserError
from saccade.apps.core.serving import server, warm_up


@dataclasses.dataclass(frozen=True)
class Config:
    data: str = "builtin"
    seed: int = 5
    units: tuple = (2, 3)


@dataclasses.dataclass(frozen=True)
class Options:
    beam: int = 3


def signatures(model):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def respond(text):
        lengths = tf.cast(tf.strings.length(text), tf.float32)[:, None]
        return {"answer": model(lengths), "echo": text}

    return {"serving_default": respond}


def more_signatures(model):
    """One that needs XLA, and one with inputs that the example does not hold."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32, name="token"),
            tf.TensorSpec([None], tf.bool, name="reset"),
            tf.TensorSpec([None, 3], tf.float32, name="state"),
            tf.TensorSpec([None, None], tf.int32, name="tokens"),
            tf.TensorSpec([None], tf.string, name="text"),
        ]
    )
    def step(token, reset, state, tokens, text):
        ones = tf.cast(token, tf.float32) + tf.reduce_sum(state, -1)
        sums = tf.reduce_sum(tokens, -1)
        return {"sum": ones, "sums": sums, "reset": reset, "text": text}

    functions = signatures(model)
    return {**functions, "serving_xla": functions["serving_default"], "step": step}


def make_run(sign=signatures, scale=1.0, name="lengths", folder="nowhere"):
    """As much of a Run as an export needs: a model of one weight."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((1, 1), scale, "float32")])
    app = types.SimpleNamespace(name=name, summary="how long a text is")
    metrics = {"exact_match": 12.5}
    return types.SimpleNamespace(
        app=app,
        config=Config(),
        model=model,
        sign=sign,
        metrics=metrics,
        folder=pathlib.Path(folder),
    )


def write(run, to, labels=()):
    """`write_export`, as `Run.export` calls it."""
    functions = run.sign(run.model)
    compiled = tuple(name for name in functions if name == "serving_xla")
    example = {"text": ["four", "语言"]}
    exported = export.Exported(functions, compiled, Options(), example)
    return export.write_export(run, exported, to, labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(make_run(), tmp_path_factory.mktemp("exports"))


def test_version_numbers_go_up(tmp_path):
    first = write(make_run(scale=1.0), tmp_path)
    second = write(make_run(scale=2.0), tmp_path)
    assert [first, second] == [tmp_path / "lengths/1", tmp_path / "lengths/2"]
    # What an operator may have put beside them counts only if it is a number.
    for name in ("7", "canary", "12.old", "-9", " 10", "1e3", "\u0669", str(2**63)):
        (tmp_path / "lengths" / name).mkdir()
    assert write(make_run(scale=3.0), tmp_path).name == "8"
    for version, scale in ((1, 1.0), (2, 2.0), (8, 3.0)):
        loaded = tf.saved_model.load(str(tmp_path / "lengths" / str(version)))
        answer = loaded.signatures["serving_default"](text=tf.constant(["abc"]))
        np.testing.assert_allclose(answer["answer"], [[3 * scale]])


def test_tables_are_saved_and_every_function_once(tmp_path):
    words = keras.layers.StringLookup(vocabulary=["b", "a"])
    model = keras.Sequential([keras.Input((), dtype="string"), words])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def numbered(text):
        return {"id": model(text)}

    export.save(model, {"serving_default": numbered}, tmp_path / "one")

    answer = tf.saved_model.load(str(tmp_path / "one")).signatures["serving_default"]
    assert answer(text=tf.constant(["a", "b", "x"]))["id"].numpy().tolist() == [2, 1, 0]
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tmp_path / "one" / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    names = [f.signature.name for f in functions if "numbered" in f.signature.name]
    assert len(names) == 1


def test_a_version_taken_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    rename = os.rename

    def slow(source, target):
        if target.name == "1":  # Somebody else is faster.
            target.mkdir()
            (target / "saved_model.pb").write_text("theirs")
        rename(source, target)

    monkeypatch.setattr(export.os, "rename", slow)
    assert write(make_run(), tmp_path).name == "2"
    assert (tmp_path / "lengths/1/saved_model.pb").read_text() == "theirs"


@pytest.mark.parametrize("step", ["signatures", "write_warm_up", "model_card", "flush"])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, step):
    def fail(*arguments, **options):
        raise RuntimeError("disk on fire")

    run = make_run(sign=fail if step == "signatures" else signatures)
    if step != "signatures":
        monkeypatch.setattr(export, step, fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        write(run, tmp_path)
    made = [] if step == "signatures" else ["lengths"]
    assert [path.name for path in tmp_path.iterdir()] == made
    assert not list(tmp_path.glob("lengths/*"))


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
    assert card["data"] == {"name": "builtin", "sha256": None}
    assert card["seed"] == 5
    assert card["options"] == {"beam": 3}
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


def test_model_card_tells_the_data_that_training_wrote_down(tmp_path):
    text = json.dumps({"name": "builtin", "sha256": "f00"})
    (tmp_path / "data.json").write_text(text, "utf-8")
    target = write(make_run(folder=tmp_path), tmp_path / "models")
    card = json.loads((target / "model_card.json").read_text("utf-8"))
    assert card["data"] == {"name": "builtin", "sha256": "f00"}


# Warm-up


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
    one, two, four, eight = records(folder)
    assert two.hex() == WARM_UP
    assert [r.count(b"four") for r in (one, two, four, eight)] == [1, 1, 2, 4]


def fields(message):
    """A protocol buffer message of nested ones as a list of (number, bytes)."""

    def varint(i):
        value = shift = 0
        while True:
            value |= (message[i] & 127) << shift
            i, shift = i + 1, shift + 7
            if message[i - 1] < 128:
                return value, i

    found, i = [], 0
    while i < len(message):
        key, i = varint(i)
        assert key & 7 == 2, "a field that is no message, string or bytes"
        size, i = varint(i)
        found.append((key >> 3, message[i : i + size]))
        i += size
    return found


def requested(record):
    """The signature and the inputs, arrays, of a PredictionLog's bytes."""
    ((six, log),) = fields(record)
    ((one, request),) = fields(log)
    assert (six, one) == (6, 1)
    (_, spec), *entries = fields(request)
    inputs = {}
    for number, entry in entries:
        (_, name), (_, value) = fields(entry)
        assert number == 2
        proto = tf.make_tensor_proto(0)
        proto.ParseFromString(value)
        inputs[name.decode()] = tf.make_ndarray(proto)
    return dict(fields(spec))[3].decode(), inputs


def test_warm_up_asks_every_signature_but_xla_in_every_batch_size(tmp_path):
    folder = write(make_run(more_signatures), tmp_path)
    loaded = tf.saved_model.load(str(folder))
    replayed = []
    for record in records(folder):
        signature, inputs = requested(record)
        function = loaded.signatures[signature]
        specs = function.structured_input_signature[1]
        assert inputs.keys() == specs.keys()
        answer = function(**{k: tf.constant(v) for k, v in inputs.items()})
        rows = len(inputs["text"])
        assert all(len(value) == rows for value in answer.values())
        text = [b"four", "语言".encode()] * 4
        assert inputs["text"].tolist() == text[:rows]
        replayed.append((signature, rows))
    assert replayed == [
        (signature, rows)
        for signature in ("serving_default", "step")
        for rows in server.BATCH_SIZES
    ]


def test_warm_up_is_read_by_tf_serving(tmp_path):
    logs = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not installed (extra: serving)",
    )
    folder = write(make_run(more_signatures), tmp_path)
    assert records(folder)
    for record in records(folder):
        log = logs.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert log.ByteSize() == len(record), "something it does not know"
        signature, inputs = requested(record)
        assert request.model_spec.signature_name == signature
        assert request.inputs.keys() == inputs.keys()
        for name, value in request.inputs.items():
            np.testing.assert_array_equal(tf.make_ndarray(value), inputs[name])


def test_warm_up_of_a_long_request(folder, tmp_path):
    """Lengths above 127 take several bytes in a message."""
    text = "long " * 5000
    functions = signatures(lambda lengths: lengths)
    warm_up.write_warm_up(tmp_path, functions, {"text": [text]}, [1])
    (record,) = records(tmp_path)
    assert requested(record)[1]["text"].tolist() == [text.encode()]


# What a server reads beside the models


def config_message(folder):
    """models.config as TF Serving reads it."""
    config = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2",
        reason="tensorflow-serving-api is not installed (extra: serving)",
    )
    from google.protobuf import text_format

    text = (folder / "models.config").read_text("utf-8")
    return text_format.Parse(text, config.ModelServerConfig()).model_config_list.config


def test_the_models_of_all_apps_are_in_one_file(tmp_path):
    write(make_run(name="b"), tmp_path)
    write(make_run(name="a"), tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".writing-1-models.config").write_text("killed")
    write(make_run(name="a"), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a", "b", "batching.config", "empty", "models.config"]
    assert (tmp_path / "models.config").read_text("utf-8") == (
        "model_config_list {\n"
        "  config {\n"
        '    name: "a"\n'
        '    base_path: "/models/a"\n'
        '    model_platform: "tensorflow"\n'
        "  }\n"
        "  config {\n"
        '    name: "b"\n'
        '    base_path: "/models/b"\n'
        '    model_platform: "tensorflow"\n'
        "  }\n"
        "}\n"
    )


def test_labels_move_and_their_versions_stay_loaded(tmp_path):
    def written(name, *labels):
        write(make_run(name=name), tmp_path, labels)
        text = (tmp_path / "models.config").read_text("utf-8")
        (of_a,) = [part for part in text.split("config {\n") if '"/models/a"' in part]
        policy = [line.strip() for line in of_a.splitlines() if "policy" in line]
        return server.read_labels(tmp_path), *policy

    def policy(*versions):
        numbers = " ".join(f"versions: {v}" for v in versions)
        return f"model_version_policy {{ specific {{ {numbers} }} }}"

    assert written("a") == ({"a": {}},)
    assert written("a", "stable") == ({"a": {"stable": 2}}, policy(2))
    assert written("a", "canary") == ({"a": {"stable": 2, "canary": 3}}, policy(2, 3))
    # The greatest is loaded too, for requests without a label.
    assert written("a") == ({"a": {"stable": 2, "canary": 3}}, policy(2, 3, 4))
    # Until the server has moved the labels, requests by them go to 2 and 3.
    moved = {"stable": 5, "canary": 5}
    assert written("a", "stable", "canary") == ({"a": moved}, policy(2, 3, 5))
    other = {"a": moved, "b": {"stable": 1}}
    assert written("b", "stable") == (other, policy(5))

    by_name = {model.name: model for model in config_message(tmp_path)}
    assert by_name.keys() == {"a", "b"}
    assert by_name["a"].base_path == "/models/a"
    assert dict(by_name["a"].version_labels) == moved
    assert list(by_name["a"].model_version_policy.specific.versions) == [5]


def test_an_operators_labels_are_kept(tmp_path):
    """Rolled back by hand, with another layout than ours."""
    for _ in range(3):
        write(make_run(), tmp_path, ["stable"])
    (tmp_path / "models.config").write_text(
        "# rolled back on Monday: {\n"
        "model_config_list: { config: { name: 'lengths',\n"
        "base_path: '/models/lengths', model_platform: 'tensorflow';\n"
        "version_labels { key: 'stable', value: 2 }\n"
        'version_labels { value: 9 key: "gone # away" } } }'
    )
    labels = {"lengths": {"stable": 2, "gone # away": 9}}
    assert server.read_labels(tmp_path) == labels
    if importlib.util.find_spec("tensorflow_serving"):
        (model,) = config_message(tmp_path)
        assert {"lengths": dict(model.version_labels)} == labels
    write(make_run(), tmp_path)
    assert server.read_labels(tmp_path) == {"lengths": {"stable": 2}}


@pytest.mark.parametrize(
    "text",
    [
        "model_config_list {",
        "model_config_list { } }",
        "model_config_list",
        "model_config_list { config { } }",
        "model_config_list: 3",
        'model_config_list { config { name: "a" version_labels { key: "b" } } }',
        'model_config_list { config { name: "a" version_labels { key: "b" value: c }}}',
    ],
)
def test_a_broken_file_is_an_error_before_anything_is_written(tmp_path, text):
    (tmp_path / "models.config").write_text(text)
    with pytest.raises(UserError, match="models.config.*Mend it, or delete it"):
        write(make_run(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["models.config"]


@pytest.mark.parametrize("label", ["", "a b", 'a"b', "a/b", "..", "größe"])
def test_a_label_that_no_address_can_hold_is_an_error(tmp_path, label):
    with pytest.raises(UserError, match="stable,canary"):
        write(make_run(), tmp_path, ["stable", label])
    assert not list(tmp_path.iterdir())


def test_batching_file(folder):
    """No package has the message BatchingParameters; see serving's session_bundle."""
    text = (folder.parents[1] / "batching.config").read_text("utf-8")
    response = server.parse(text)
    sizes = [int(value) for key, value in response if key == "allowed_batch_sizes"]
    assert sizes == list(server.BATCH_SIZES) == sorted(set(sizes))
    numbers = {key: value[0][1] for key, value in response if isinstance(value, list)}
    assert int(numbers["max_execution_batch_size"]) == sizes[-1]
    assert int(numbers["max_batch_size"]) >= sizes[-1]
    assert numbers["enable_large_batch_splitting"] == "true"


def test_exports_side_by_side_get_numbers_of_their_own(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [make_run(name=name) for name in ("a", "b", "a", "b")]
        targets = list(pool.map(lambda run: write(run, tmp_path), runs))
    names = sorted(f"{target.parent.name}/{target.name}" for target in targets)
    assert names == ["a/1", "a/2", "b/1", "b/2"]
    assert server.read_labels(tmp_path) == {"a": {}, "b": {}}
    left = [p for p in tmp_path.rglob("*") if p.name.startswith(export.WRITING)]
    assert not left
