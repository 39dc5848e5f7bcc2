"""Signatures of a task that counts letters: what core makes of `Task`."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.kinds import Tensor, Text
from saccade.apps.core.settings.fields import field, validate
from saccade.apps.core.tasks.signatures import Answerer, Signature, signatures_of
from saccade.apps.core.tasks.task import Task, checked_options
from saccade.layers import LSTM


@dataclasses.dataclass(frozen=True)
class Options:
    """`factor` may be set by every request, `offset` is fixed."""

    factor: float = field(1.0, "what the length is multiplied by", request=True)
    offset: int = field(0, "what is added", low=0)

    def __post_init__(self):
        validate(self)


class Count(Task):
    name, Options = "count", Options
    traced = 0

    def kinds(self):
        return {"text": Text(["four", "seven"])}

    def features(self, values):
        return {"length": tf.strings.length(values["text"])}

    def respond(self, model, inputs, options):
        Count.traced += 1
        length = tf.cast(inputs["length"], tf.float32)
        return {"size": length * options.factor + float(options.offset)}

    def answer(self, values, tensors, options):
        return {"echo": values["text"], **tensors}

    def signatures(self):
        def double(model, inputs, options):
            return {"twice": 2 * inputs["number"]}

        def as_it_is(values, tensors, options):
            return tensors

        kinds = {"number": Tensor("int32"), "other": Tensor("float32", [2])}
        return {"double": Signature(kinds, double, as_it_is, lambda values: values)}


class Picky(Text):
    """A text that is none where it holds an x."""

    refused = "holds an x"

    def decode(self, text):
        return text, tf.logical_not(tf.strings.regex_full_match(text, ".*x.*"))


class PickyCount(Count):
    def kinds(self):
        return {"text": Picky(["four", "seven"])}


@pytest.fixture
def answerer():
    return Answerer(Count(None), keras.Sequential())


def call(function, **inputs):
    outputs = function(**{k: tf.constant(v) for k, v in inputs.items()})
    return {name: value.numpy().tolist() for name, value in outputs.items()}


def test_every_task_has_three_and_its_own(answerer):
    assert list(signatures_of(answerer.task)) == [
        "serving_default",
        "with_options",
        "serving_xla",
        "double",
    ]
    people = [n for n, s in signatures_of(answerer.task).items() if s.for_people]
    assert people == ["serving_default", "with_options"]
    with pytest.raises(UserError, match="count has no signature 'triple'; it has"):
        answerer.task.signature("triple")


def test_the_default_takes_the_kinds_only(answerer):
    function = answerer.function("serving_default", Options(factor=3.0, offset=2))
    assert [spec.name for spec in function.input_signature] == ["text"]
    assert call(function, text=["ab", ""]) == {
        "echo": [b"ab", b""],
        "size": [8.0, 2.0],
        "ok": [True, True],
    }


def test_a_request_sets_an_option_for_each_row(answerer):
    function = answerer.function("with_options", Options(offset=1))
    assert [spec.name for spec in function.input_signature] == ["text", "factor"]
    got = call(function, text=["ab", "abc"], factor=[2.0, 0.5])
    assert got["size"] == [5.0, 2.5]


def test_the_compiled_twin_answers_alike(answerer):
    options = Options(factor=2.0, offset=1)
    plain = call(answerer.function("serving_default", options), text=["abc"])
    twin = answerer.function("serving_xla", options)
    assert call(twin, text=["abc"]) == plain


def test_a_graph_is_made_once_for_all_that_a_request_sets(answerer):
    Count.traced = 0
    for factor in (1.0, 2.0, 3.0):
        (answer,) = answerer.answers(["ab"], Options(factor=factor))
        assert answer == {"echo": "ab", "size": 2 * factor, "ok": True}
    assert Count.traced == 1
    answerer.answers(["ab"], Options(offset=5))
    assert Count.traced == 2


def test_rows_that_are_not_ok_are_zeros_and_spoil_nothing():
    answerer = Answerer(PickyCount(None), keras.Sequential())
    function = answerer.function("serving_default", Options(offset=1))
    assert call(function, text=["ab", "x", "c"]) == {
        "echo": [b"ab", b"", b"c"],
        "size": [3.0, 0.0, 2.0],
        "ok": [True, False, True],
    }
    answers = answerer.answers(["ab", "x"], Options())
    assert [answer.get("error") for answer in answers] == [None, "holds an x"]


def test_a_value_that_cannot_be_read_is_an_answer_too(answerer, tmp_path):
    good, gone = answerer.answers(["ab", tmp_path / "gone"], Options(offset=1))
    assert good["ok"] and good["size"] == 3.0
    assert not gone["ok"] and gone["size"] == 0 and gone["echo"] == ""
    assert "gone" in gone["error"]


def test_more_requests_than_a_call_takes(answerer):
    texts = ["a" * (i % 7) for i in range(150)]
    answers = answerer.answers(texts, Options())
    assert [answer["size"] for answer in answers] == [i % 7 for i in range(150)]


@pytest.mark.parametrize("request_", [{"txt": "a"}, {"text": "a", "b": "c"}])
def test_a_request_must_have_a_value_for_each_kind(answerer, request_):
    with pytest.raises(UserError, match="a request with text; received"):
        answerer.answers([request_], Options())


def test_signatures_check_their_inputs(answerer):
    function = answerer.function("double", Options())
    pair = {"number": [1, 2], "other": np.zeros((2, 2), "float32")}
    assert call(function, **pair) == {"twice": [2, 4], "ok": [True, True]}
    refused = tf.errors.InvalidArgumentError
    with pytest.raises(refused, match="as many rows of other as of number"):
        call(function, number=[1], other=np.zeros((2, 2), "float32"))


def test_options_are_checked():
    task = Count(None)
    assert checked_options(task, {"offset": 3}) == Options(offset=3)
    with pytest.raises(UserError, match="Options of an answer: factor, offset"):
        checked_options(task, {"off": 3})
    with pytest.raises(UserError, match="offset: expected an integer, at least 0"):
        checked_options(task, {"offset": -1})


def test_a_graph_that_was_made_beside_a_gpu_runs_without_one(monkeypatch):
    class Recurs(Count):
        def respond(self, model, inputs, options):
            return {"state": model(tf.ones((tf.shape(inputs["length"])[0], 4, 3)))}

    devices = tf.config.list_logical_devices
    with_gpu = {"GPU": ["GPU:0"]}
    monkeypatch.setattr(
        tf.config,
        "list_logical_devices",
        lambda kind=None: with_gpu.get(kind) or devices(kind),
    )
    model = keras.Sequential([keras.Input((4, 3)), LSTM(2)])
    function = Answerer(Recurs(None), model).function("serving_default", Options())
    assert "CudnnRNN" not in str(function.get_concrete_function().graph.as_graph_def())
    training = tf.function(model).get_concrete_function(tf.TensorSpec((None, 4, 3)))
    assert "CudnnRNN" in str(training.graph.as_graph_def())
    assert len(call(function, text=["four", "seven"])["state"]) == 2
