"""Signatures: a request goes in, a response comes out, as one graph for all doors.

    request  tensors of the input kinds (and of the options that a request may set)
    decode   of every kind: values, and ok per row
    features values -> what the model takes
    respond  -> tensors; this part alone is compiled by XLA
    answer   -> the response: a dict, batch first, with `ok` per row

Only stock TensorFlow operations are in it: a SavedModel needs none of this code.
"""

import collections.abc
import dataclasses
import functools
import inspect
import types

import numpy as np
import tensorflow as tf

from ....layers.cudnn import without_cudnn
from ..errors import UserError
from ..inputs.kinds import Kind, as_request, columns_of
from ..settings.fields import request_fields

BATCH = 64  # rows that `answers` puts into one call
DTYPES = {bool: tf.bool, int: tf.int32, float: tf.float32, str: tf.string}


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a served function takes and how it answers.

    kinds: name -> Kind.
    respond: function (model, inputs, options) -> tensors, in the graph.
    answer: function (values, tensors, options) -> dict of tensors, batch first.
    features: function (values) -> the model's inputs; None: `Task.features`.
    takes_options: whether the options that a request may set are inputs too.
    compiled: whether XLA compiles `respond`; or a function in its place, of a task that
        compiles pieces inside a loop of its own.
    """

    kinds: dict[str, Kind]
    respond: collections.abc.Callable
    answer: collections.abc.Callable
    features: collections.abc.Callable | None = None
    takes_options: bool = False
    compiled: bool | collections.abc.Callable = False

    @property
    def for_people(self):
        """Whether a person can ask it: no kind is hidden, and XLA is not needed."""
        return not self.compiled and not any(k.hidden for k in self.kinds.values())


def signatures_of(task):
    """All signatures of a task by name, those that every task has first."""
    kinds = task.kinds()
    default = Signature(kinds, task.respond, task.answer)
    signatures = {"serving_default": default}
    if request_fields(task.Options):
        with_options = dataclasses.replace(default, takes_options=True)
        signatures["with_options"] = with_options
    signatures["serving_xla"] = dataclasses.replace(default, compiled=task.compiled)
    return signatures | task.signatures()


def option_specs(task, signature):
    """The tensors of the options that a signature takes: list of TensorSpec."""
    if not signature.takes_options:
        return []
    kinds = {f.name: f.type for f in dataclasses.fields(task.Options)}
    return [
        tf.TensorSpec([None], DTYPES[kinds[name]], name)
        for name in request_fields(task.Options)
    ]


def make_function(task, model, signature, options):
    """A signature as a tf.function with an `input_signature`.

    Args:
        options: of the task's `Options`. Those that a request may set are [batch]
            tensors for `respond` and `answer`, whether the request sets them or not.
    """
    specs = {name: kind.specs(name) for name, kind in signature.kinds.items()}
    settings = option_specs(task, signature)
    inputs = [spec for several in specs.values() for spec in several] + settings
    features = signature.features or task.features
    respond = signature.respond
    if callable(signature.compiled):
        respond = signature.compiled
    elif signature.compiled:
        respond = _compiled(signature.respond)

    def function(*tensors):
        tensors = checked(inputs, tensors)
        rows = tf.shape(next(iter(tensors.values())))[0]
        values, oks = {}, []
        for name, kind in signature.kinds.items():
            parts = [tensors[spec.name] for spec in specs[name]]
            values[name], ok = kind.decode(*parts)
            oks.append(ok)
        ok = functools.reduce(tf.logical_and, oks)
        chosen = options_in_graph(options, rows, tensors)
        with without_cudnn():  # An export must also run where there is no GPU.
            outputs = respond(model, features(values), chosen)
        response = signature.answer(values, outputs, chosen)
        return {**zeroed_unless(ok, response), "ok": ok}

    one = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(spec.name, one) for spec in inputs]
    function.__signature__ = inspect.Signature(parameters)
    # The loops are TensorFlow's already; without a search for others it is made sooner.
    return tf.function(function, input_signature=inputs, autograph=False)


def _compiled(respond):
    # Options that are Python's go in by closure: XLA would make tensors of them.
    def run(model, inputs, options):
        tensors = {k: v for k, v in vars(options).items() if tf.is_tensor(v)}
        fixed = {k: v for k, v in vars(options).items() if k not in tensors}

        @functools.partial(tf.function, jit_compile=True, autograph=False)
        def inside(inputs, tensors):
            return respond(model, inputs, types.SimpleNamespace(**fixed, **tensors))

        return inside(inputs, tensors)

    return run


def options_in_graph(options, rows, tensors):
    """The options with those of a request as [batch] tensors: the request's, else all
    rows the same."""
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    for name in request_fields(options):
        values[name] = tensors.get(name, _for_all(values[name], rows))
    return types.SimpleNamespace(**values)


def _for_all(value, rows):
    """The value of an option as [batch] tensor, for so many rows."""
    return tf.fill([rows], tf.constant(value, DTYPES[type(value)]))


def checked(specs, tensors):
    """The tensors of a request by name: each of its rank, all of as many rows.

    A SavedModel does not check. Of inputs with different numbers of rows it would
    answer some, without a word about the others.

    Raises:
        tf.errors.InvalidArgumentError: when it is run.
    """
    tensors = [tf.ensure_shape(t, s.shape) for t, s in zip(tensors, specs, strict=True)]
    rows = [tf.shape(tensor)[0] for tensor in tensors]
    checks = [
        tf.debugging.assert_equal(
            rows[0], count, f"Expected as many rows of {spec.name} as of {first.name}."
        )
        for first in specs[:1]
        for spec, count in zip(specs[1:], rows[1:], strict=True)
    ]
    with tf.control_dependencies(checks):
        return {
            spec.name: tf.identity(tensor)
            for spec, tensor in zip(specs, tensors, strict=True)
        }


def zeroed_unless(ok, response):
    """A response without the rows that are not ok: zeros, False or empty strings."""

    def zeroed(tensor):
        good = tf.reshape(ok, [-1] + [1] * (tensor.shape.rank - 1))
        return tf.where(good, tensor, tf.zeros([], tensor.dtype))

    return {name: zeroed(tensor) for name, tensor in response.items()}


class Answerer:
    """A model and its task: requests in, answers out.

    It keeps a function per signature and options: making one takes seconds.

    Args:
        task: a `Task`. model: what it built.
    """

    KEPT = 8

    def __init__(self, task, model):
        self.task, self.model = task, model
        self._functions = {}

    def function(self, name, options):
        """A signature's tf.function; `options`: of the task's `Options`."""
        signature = self.task.signature(name)
        options = self.task.in_graph(options)
        if signature.takes_options:  # what a request sets is no part of the graph
            default = self.task.Options()
            free = {n: getattr(default, n) for n in request_fields(options)}
            options = dataclasses.replace(options, **free)
        key = name, options
        if key not in self._functions:
            if len(self._functions) >= self.KEPT:
                self._functions.pop(next(iter(self._functions)))
            made = make_function(self.task, self.model, signature, options)
            self._functions[key] = made
        return self._functions[key]

    def answers(self, requests, options, name="serving_default"):
        """What people get for requests: list of dicts, see `answers`."""
        if name == "serving_default" and request_fields(options):
            name = "with_options"  # one graph, whatever a request sets
        function = self.function(name, options)
        names = [spec.name for spec in function.input_signature]
        return answers(self.task, function, names, requests, name, options)


def answers(task, respond, names, requests, name, options):
    """Answers to requests, through a signature: of a run, an export or a server.

    Args:
        respond: function (**tensors) -> dict of tensors. names: of the tensors.
        requests: list of values, or of dicts with one value per input kind.
        name: of the signature. options: of the task's `Options`.

    Returns:
        per request a dict: what `Task.readable` makes of its row of the response, with
        `ok` bool; where that is False also `error`, why.
    """
    signature = task.signature(name)
    requests = [as_request(signature.kinds, request) for request in requests]
    columns, errors = columns_of(signature.kinds, requests)
    found = []
    for first in range(0, len(errors), BATCH):
        some = slice(first, first + BATCH)
        inputs = _tensors(signature, columns, some)
        rows = len(errors[some])
        for option in request_fields(options):
            if option in names:
                inputs[option] = _for_all(getattr(options, option), rows)
        response = {k: np.asarray(v) for k, v in respond(**inputs).items()}
        for row, error in enumerate(errors[some]):
            values = {key: value[row] for key, value in response.items()}
            request = requests[first + row]
            found.append(_answer(task, signature, request, values, error))
    return found


def _tensors(signature, columns, some):
    inputs = {}
    for name, kind in signature.kinds.items():
        (spec,) = kind.specs(name)
        values = kind.aligned(columns[name][some])
        inputs[spec.name] = tf.constant(values, spec.dtype)
    return inputs


def _answer(task, signature, request, values, error):
    if error:  # what the graph made of an empty value counts for nothing
        values = {key: _zeros(value) for key, value in values.items()}
    ok = bool(values.pop("ok", True)) and not error
    answer = {**task.readable(request, values), "ok": ok}
    if not ok:
        kinds = signature.kinds.values()
        refused = next((k.refused for k in kinds if k.refused), "cannot be read")
        answer["error"] = error or refused
    return answer


def _zeros(value):
    """Zeros of a value's shape and kind, of bytes the empty ones."""
    return b"" if isinstance(value, bytes) else np.asarray(value * 0, value.dtype)


def signature_named(task, name):
    """A signature by its name.

    Raises:
        UserError: the task has none of that name.
    """
    signatures = signatures_of(task)
    if name not in signatures:
        raise UserError(
            f"{task.name} has no signature {name!r}; it has {', '.join(signatures)}."
        )
    return signatures[name]
