"""The contract that every app of `saccade.apps.REGISTRY` keeps.

A new app joins by being registered and by an entry in `expected.EXPECTED`.
"""

import base64
import csv
import dataclasses
import json
import shutil
import subprocess
import sys
import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import ConfigError, UserError
from saccade.apps.core.settings.command_line import help_rows, parse_overrides
from saccade.apps.core.settings.json_text import from_json, to_json
from saccade.apps.core.tasks.signatures import signatures_of

from ..machine import seconds
from .answers import assert_same
from .runs import assert_same_run, ready_to_fit, shortened


def taken(function, request):
    """As much of a request as the signature `function` takes."""
    return {n: request[n] for n in function.structured_input_signature[1]}


def tensors(function, request):
    """A request as the signature `function` takes it."""
    specs = function.structured_input_signature[1]
    request = taken(function, request)
    return {n: tf.constant(v, specs[n].dtype) for n, v in request.items()}


def completed(model, inputs):
    """What a model is fed, and zeros for its states, which training supplies."""
    if not isinstance(model.input, dict):
        return inputs
    rows = len(next(iter(inputs.values())))
    states = {
        name: tf.zeros((rows, *tensor.shape[1:]), tensor.dtype)
        for name, tensor in model.input.items()
        if name not in inputs
    }
    return {**inputs, **states}


def arrays(outputs):
    return {name: value.numpy() for name, value in outputs.items()}


# 1. Settings


def test_config_round_trip(app):
    assert {"tiny", "default"} <= app.presets.keys()
    for preset in app.presets.values():
        config = preset()
        assert isinstance(config, app.Config)
        assert from_json(app.Config, to_json(config)) == config
        words = []
        for row in help_rows(config):
            on, _, off = row.flag.partition("/")  # A switch has both.
            is_on = row.default == "true"
            words.append(on if off and is_on else off or f"{on}={row.default}")
        assert parse_overrides(app.Config, words) == config


def test_unknown_key_is_an_error_that_names_it(app):
    field = dataclasses.fields(app.Config)[0].name
    with pytest.raises(ConfigError, match=f"{field}x.*{field}"):
        parse_overrides(app.Config, [f"--{field}x=1"])
    with pytest.raises(ConfigError, match=f"{field}x"):
        from_json(app.Config, {f"{field}x": 1})


def test_bad_value_is_an_error_that_names_the_field(app):
    checked = 0
    for field in dataclasses.fields(app.Config):
        hint = typing.get_type_hints(app.Config)[field.name]
        if hint in (int, float):
            flag = "--" + field.name.replace("_", "-")
            with pytest.raises(
                ConfigError, match=f"{field.name}: expected .*number|int"
            ):
                parse_overrides(app.Config, [f"{flag}=many"])
            with pytest.raises(ConfigError, match=field.name):
                from_json(app.Config, {field.name: "many"})
            checked += 1
    assert checked


def test_no_name_means_two_things(app):
    """Inputs, options of an answer, and settings share a command line and a card."""
    kinds = set(app.config.kinds(app.Config()))
    options = {field.name for field in dataclasses.fields(app.Options)}
    settings = {field.name for field in dataclasses.fields(app.Config)}
    assert not kinds & options
    # A seed is the same idea everywhere: of what is drawn.
    assert (kinds | options) & settings <= {"seed"}


def test_options_of_an_answer_have_their_errors_too(run, splits):
    with pytest.raises(UserError, match="nonsense"):
        run.evaluate(splits.test, nonsense=1)


# 2. Data


def test_real_data_has_the_same_element_spec(app, expected, splits, trained, tmp_path):
    config = shortened(trained.small, **expected.real(tmp_path, splits))
    short = trained.short
    _, read = ready_to_fit(app, config, tmp_path / "run", short.run.model)
    assert read.element_spec == short.batches.element_spec
    # Not only the shapes: the same examples, whatever their order.
    assert len(app.task_for(config).read().test) == len(splits.test)


# 3. The model


def test_everything_has_a_name(run, expected):
    assert isinstance(run.model.input, dict) or len(run.model.inputs) == 1
    if isinstance(run.model.input, dict):
        for name, tensor in run.model.input.items():
            assert tensor.name == name
    assert isinstance(run.model.output, dict)
    assert run.model.count_params() == expected.parameters


# 4. One step of training


def test_one_step_changes_every_variable(trained):
    short = trained.short
    assert not short.model.jit_compile
    with open(short.killed / "history.csv", newline="") as file:
        (first_round,) = csv.DictReader(file)
    assert np.isfinite(float(first_round["loss"]))
    variables = short.model.trainable_variables
    for variable, old, new in zip(variables, short.before, short.after, strict=True):
        assert np.isfinite(new).all(), f"{variable.path} is not finite"
        assert not np.array_equal(new, old), f"{variable.path} did not move"


@pytest.mark.slow
def test_one_step_changes_every_variable_under_xla(app, trained, tmp_path):
    config = dataclasses.replace(trained.small, jit=True, batch_size=4)
    model, batches = ready_to_fit(app, config, tmp_path)
    assert model.jit_compile
    model.optimizer.weight_decay = None  # see SHORT
    before = [np.array(v) for v in model.trainable_variables]
    (batch,) = batches.take(1)
    loss = model.train_on_batch(*batch)
    assert np.isfinite(loss)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert np.isfinite(variable).all(), f"{variable.path} is not finite"
        assert not np.array_equal(variable, value), f"{variable.path} did not move"


# 5. It learns


def test_tiny_reaches_what_its_docstring_claims(app, run):
    assert run.config.data == "builtin"
    for metric, (least, greatest) in app.config.CLAIM.items():
        assert least <= run.metrics[metric] <= greatest, run.metrics
    # How it was measured stands beside it.
    assert any(isinstance(figure, str) for figure in run.metrics.values())
    saved = json.loads((run.folder / "metrics.json").read_text("utf-8"))
    assert saved == run.metrics


# 6. Saving


def test_keras_file_round_trip(trained):
    run = trained.short.run
    ((inputs, *_),) = trained.short.batches.take(1)
    inputs = completed(run.model, inputs)
    loaded = keras.models.load_model(run.folder / "model.keras")
    expected = run.model(inputs, training=False)
    got = loaded(inputs, training=False)
    for key, value in keras.tree.map_structure(np.array, expected).items():
        np.testing.assert_array_equal(np.array(got[key]), value, err_msg=key)


def test_loaded_run_answers_the_same(run, trained):
    inputs = trained.inputs
    answers = trained.loaded_run.predict(inputs)
    for got, value in zip(answers, run.predict(inputs), strict=True):
        assert got.keys() == value.keys()
        for key in value:
            np.testing.assert_array_equal(got[key], value[key], err_msg=key)


def test_killed_and_resumed_training_ends_bit_equal(app, trained, tmp_path):
    """A kill is played by a copy of the folder as it was after the first round."""
    whole = trained.short.run
    killed = shutil.copytree(trained.short.killed, tmp_path / "killed")
    assert not (killed / "checkpoint/round-2.npz").exists()
    resumed = app.train(out=killed, resume=True)
    assert_same_run(killed, whole.folder)
    assert resumed.metrics == whole.metrics
    weights = [run.model.get_weights() for run in (resumed, whole)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


# 7. The export, elsewhere

# Knows TensorFlow and the standard library only.
CLIENT = """
import base64, json, sys
import numpy as np
import tensorflow as tf

folder, signature, request, answer = sys.argv[1:]
loaded = tf.saved_model.load(folder)
with open(request) as file:
    items = json.load(file)
function = loaded.signatures[signature]
specs = function.structured_input_signature[1]
inputs = {
    name: tf.constant(
        [base64.b64decode(v) if type(v) is str else v for v in values],
        specs[name].dtype,
    )
    for name, values in items.items()
}
outputs = function(**inputs)
np.savez(answer, **{
    name: np.array(value.numpy().tolist(), "S") if value.dtype == tf.string
    else value.numpy() for name, value in outputs.items()
})
ours = [name for name in sys.modules if name.split(".")[0] in ("saccade", "keras")]
assert "saccade" not in ours, ours
"""


def ask_another_process(folder, signature, request, scratch):
    encoded = {
        name: [
            base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for value in values
        ]
        for name, values in request.items()
    }
    (scratch / "request.json").write_text(json.dumps(encoded))
    words = [folder, signature, scratch / "request.json", scratch / "answer.npz"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", CLIENT, *map(str, words)],
        cwd=scratch,
        capture_output=True,
        text=True,
        timeout=seconds(120),
    )
    assert done.returncode == 0, done.stderr
    with np.load(scratch / "answer.npz") as answer:
        return {name: answer[name] for name in answer.files}


@pytest.mark.processes
def test_export_answers_alike_in_another_process(export, signatures, good, tmp_path):
    function = signatures["serving_default"]
    good = taken(function, good)
    here = arrays(function(**tensors(function, good)))
    there = ask_another_process(export, "serving_default", good, tmp_path)
    assert_same({k: v.astype(here[k].dtype) for k, v in there.items()}, here)


def test_export_answers_as_the_run_does(run, trained):
    options = dataclasses.asdict(run.task.exported())
    for name, signature in signatures_of(run.task).items():
        if not signature.for_people:
            continue
        inputs = trained.requests(signature.kinds)
        answers = run.predict(inputs, name, **options)
        exported = trained.loaded_export.predict(inputs, name)
        for got, expected in zip(exported, answers, strict=True):
            assert got.keys() == expected.keys()
            for key, value in expected.items():
                if isinstance(value, str | bool | list):
                    assert got[key] == value, f"{name}: {key}"
                else:
                    np.testing.assert_allclose(got[key], value, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_added_is_refused(run, trained):
    if run.task.add is None:
        with pytest.raises(UserError, match="learns by training only"):
            run.add("Ada", trained.inputs)
    with pytest.raises(UserError, match="export it again"):
        trained.loaded_export.add("Ada", trained.inputs)


def test_export_signatures(export, signatures, expected):
    card = json.loads((export / "model_card.json").read_text("utf-8"))
    assert card["signatures"].keys() == signatures.keys()
    assert len(card["data"]["sha256"]) == 64
    assert expected.outputs.keys() == signatures.keys()
    for signature, function in signatures.items():
        outputs = set(function.structured_outputs)
        assert outputs == expected.outputs[signature], signature
        for key, spec in function.structured_outputs.items():
            assert spec.shape[0] is None, f"{signature}: {key} has no batch dimension"
            assert spec.dtype not in (tf.float16, tf.bfloat16), f"{key}: not in JSON"
        for spec in function.structured_input_signature[1].values():
            assert spec.shape[0] is None, f"{signature}: an input without a batch"
    # TensorFlow would keep each for ever, with its graph, wherever this is loaded.
    assert b"CustomGradient" not in (export / "saved_model.pb").read_bytes()


def test_the_features_of_a_row_alone_are_those_in_a_batch(run, good):
    task = run.task
    together, alone = decoded_features(task, good, slice(None)), []
    rows = len(next(iter(good.values())))
    for row in range(rows):
        alone = decoded_features(task, good, slice(row, row + 1))
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            whole = together[name][row : row + 1]
            if value.ndim > 1 and value.shape != whole.shape:  # padded less
                padding = whole[:, value.shape[1] :]
                assert "length" in alone or not padding.any(), name
                whole = whole[:, : value.shape[1]]
            np.testing.assert_array_equal(value, whole, err_msg=name)


def decoded_features(task, good, rows):
    values = {}
    for name, kind in task.row_kinds().items():
        (spec,) = kind.specs(name)
        values[name], ok = kind.decode(tf.constant(good[spec.name][rows], spec.dtype))
        assert np.all(ok)
    return arrays(task.row_features(values))


# 8. Bad input


ANSWERING = ("serving_default", "with_options")  # where the app has them


@pytest.mark.parametrize("signature", ANSWERING)
def test_bad_input_has_a_defined_answer_and_spoils_nothing(
    signatures, expected, good, signature
):
    if signature not in signatures:
        return
    function = signatures[signature]
    alone = arrays(function(**tensors(function, good)))
    bad = expected.bad(good)
    # Bad ones before, between and behind the good ones.
    mixed = {name: [*bad[name], *good[name], bad[name][0]] for name in bad}
    together = arrays(function(**tensors(function, mixed)))
    first = len(next(iter(bad.values())))
    behind = first + len(next(iter(good.values())))
    assert_same({k: v[first:behind] for k, v in together.items()}, alone)
    for row in (*range(first), behind):
        expected.judge_bad(together, row)


def test_a_batch_of_bad_input_only(signatures, expected, good):
    bad = {name: values[:1] for name, values in expected.bad(good).items()}
    for name in ANSWERING:
        if name in signatures:
            outputs = signatures[name](**tensors(signatures[name], bad))
            expected.judge_bad(arrays(outputs), 0)


def test_a_missing_file_spoils_no_other_input(run, trained, tmp_path):
    inputs, gone = trained.inputs, tmp_path / "gone"
    if isinstance(inputs[0], dict):
        gone = {**inputs[0], next(iter(inputs[0])): gone}
    with_gap = [inputs[0], gone, inputs[1]]
    for door in (run, trained.loaded_export):
        answers = door.predict(with_gap)
        assert [message["ok"] for message in answers] == [True, False, True]
        alone = door.predict(inputs[:2])
        for got, message in zip(answers[::2], alone, strict=True):
            assert got.keys() == message.keys()
            for key, value in message.items():
                if isinstance(value, float | np.ndarray):  # other sums in other batches
                    np.testing.assert_allclose(got[key], value, atol=1e-5, err_msg=key)
                else:
                    assert got[key] == value, key


def test_zero_length_batch(signatures, good):
    for name in ANSWERING:
        if name not in signatures:
            continue
        function = signatures[name]
        some = function(**tensors(function, good))
        none = function(**tensors(function, {name: [] for name in good}))
        assert none.keys() == some.keys()
        for key, value in none.items():
            # An answer by tokens is as wide as the longest of its batch.
            assert value.shape[0] == 0, f"{name}: {key}"
            assert value.shape.rank == some[key].shape.rank, f"{name}: {key}"
