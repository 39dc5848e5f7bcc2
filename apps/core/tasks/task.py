"""Task: the contract between an app and everything that is shared.

The life of an example: raw row -> `kind.decode` -> `Task.features` -> model ->
`Task.respond` -> `Task.answer` -> a line, a figure or a response. Core calls these for
training, validation, `predict`, export and serving alike.
"""

import dataclasses
import types
import typing

import numpy as np

from ..data import tables
from ..errors import UserError
from ..training import batches, optimizers
from .signatures import signature_named, signatures_of


@dataclasses.dataclass(frozen=True)
class Pairs:
    """What is learned from rows: an input and what should come out, all rows at once.

    owner: int (pairs,), the row whose kinds' values a pair is given: five captions of a
        picture are five pairs of one row.
    targets: output name -> array (pairs, ...), or a list of lists, which core pads: to
        what the longest of a batch needs.
    inputs: further inputs of the model, as for teacher forcing, likewise.
    weights: output name -> float32, of the shape of its loss: 0 where nothing counts.
    aligned: whether targets and weights have a value for every step of the inputs with
        an open axis, and are padded with them.
    """

    owner: np.ndarray
    targets: dict
    inputs: dict = dataclasses.field(default_factory=dict)
    weights: dict = dataclasses.field(default_factory=dict)
    aligned: bool = False


class Task:
    """What an app does with its data and its model; an app's task.py derives from this
    or from a family.

    Args:
        config: the app's `Config`.
        assets: what was learned from training data before there was a model, with
            `to_json()`; None before that.

    Attributes of a subclass:
        name: of the app.
        settings: its module config.py; `Options`, how an answer is read out, is its.
        best: the figure of validation that decides which weights are kept, the higher
            the better; with a minus before it, the lower. Or override `rank`. It is
            also what `--stop-at` means.
        in_words: the figures that a round's line shows, where there are such: name ->
            how they are said.
        validated_at_most: examples that are validated after every round.
        trains: the signature whose requests are the rows of the data, which trains, and
            by which a model is evaluated. A painter is asked by a seed and learns from
            pictures: there it is another one than `serving_default`.
        drawn: the signature whose answers `draw` and `page` take.
        animates: whether `draw` makes a `plot.Animation` of them, and no Figure.
        writes: endings of files that `write` writes.
        compiled: what `serving_xla` compiles: True, all of `respond`; or a function in
            its place, see `Signature.compiled`.
        comparable: whether answers of models that were trained apart can be measured
            as one model's. Embeddings cannot: each has directions of its own.
    """

    name: str
    settings: types.ModuleType
    Options: type
    best = "accuracy"
    in_words: typing.ClassVar[dict[str, str]]
    validated_at_most = 500
    trains = "serving_default"
    drawn = "serving_default"
    animates = False
    writes = tables.ENDINGS
    compiled = True
    comparable = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "settings" in vars(cls):
            cls.Options = cls.settings.Options

    def __init__(self, config, assets=None):
        self.config, self.assets = config, assets

    def bound(self, config=None, assets=None):
        """The same task with other settings or assets."""
        return type(self)(config or self.config, assets or self.assets)

    def kinds(self):
        """Input name -> Kind, of `serving_default`."""
        return self.settings.kinds(self.config)

    def row_kinds(self):
        """Input name -> Kind, of the data's rows: those of the signature `trains`."""
        if self.trains == "serving_default":
            return self.kinds()
        return self.signatures()[self.trains].kinds

    def row_features(self, values):
        """As `features`, of what the kinds of a row decoded."""
        if self.trains == "serving_default":
            return self.features(values)
        return (self.signatures()[self.trains].features or self.features)(values)

    # What an app writes

    def read(self):
        """The data that the config names: `Splits` of raw rows."""
        raise NotImplementedError

    def build_model(self):
        """A functional keras.Model with named inputs and a dict of outputs."""
        raise NotImplementedError

    def begin(self, model):
        """Before the first step of a training that is not resumed: weights to start
        from, where the task knows better ones than random numbers."""

    def features(self, values):
        """In the graph: what the kinds decoded, name -> batch -> the model's inputs.

        An input with an open axis holds ids, with 0 as padding only.
        """
        return values

    def respond(self, model, inputs, options):
        """In the graph: the model's inputs -> tensors. This part alone is compiled.

        options: the fields of `Options`; those that a request may set as [batch]
        tensors, the others as they are.
        """
        raise NotImplementedError

    def answer(self, values, tensors, options):
        """In the graph: what the kinds decoded and `respond` returned -> the response,
        a dict of tensors, batch first. Strings are made here."""
        raise NotImplementedError

    def measure(self, answers, examples):
        """Figures of answers to examples: dict of Python's numbers."""
        raise NotImplementedError

    def why_no_test(self):
        """Why the test split of the data is empty: half a sentence."""
        raise NotImplementedError

    def show(self, answer):
        """An answer in one line, for a terminal."""
        raise NotImplementedError

    # What a family gives, or what is as it is for most

    def learn(self, train):
        """The task with what must be learned from training data before a model can be
        built: assets, and fields of the config that were open."""
        return self

    def assets_from_json(self, text):
        """What `assets.to_json()` wrote -> assets."""
        raise NotImplementedError

    def learned_as(self, text):
        """Whether the assets that `to_json` made a text of were learned from the same
        data; what the trained model added to them does not count."""
        return text == self.assets.to_json()

    def calibrate(self, answerer, splits):
        """The task with what can be learned only with the trained model: further
        assets. answerer: an `Answerer`; splits: what was trained on."""
        return self

    def targets(self, examples):
        """`Pairs` of all examples."""
        raise NotImplementedError

    def loss(self):
        """Output name -> a keras loss whose `call` gives a loss per element; core
        averages it over the global batch. None: the trainer has its own."""
        raise NotImplementedError

    def batches(self, examples):
        """Function of the first step and a `Part` -> endless tf.data.Dataset of
        (inputs, targets, weights) for `fit`; a pure function of (seed, step)."""
        return batches.of_examples(self, examples)

    def augment(self, values, seed):
        """In the graph: what the kinds decoded, changed at random in training. seed:
        int32 (2,), another in every step."""
        return values

    def frozen(self, model):
        """A network at the beginning of the model that training leaves as it is, as
        `training.frozen.Frozen`: it is computed once for each input, not in every step,
        and `batches` is not asked. None: there is none, or what it reads changes."""
        return None

    def trainer(self, model):
        """The keras.Model that `fit` trains: `model`, or one that holds it. Where there
        is a `frozen` network, `model` is what follows it."""
        return model

    def optimizer(self, steps):
        """For so many steps."""
        return optimizers.adamw(self.config, steps)

    def in_graph(self, options):
        """The `Options` that a graph is made for, which answers requests with these."""
        return options

    def exported(self):
        """The `Options` of an export, where a request does not set them."""
        return self.Options()

    def validated(self):
        """The `Options` by which the weights that are kept are chosen."""
        return self.Options()

    def evaluate(self, answerer, examples, options, most=None):
        """Figures of a model on examples, as its users would get its answers.

        Args:
            answerer: an `Answerer`. options: of `Options`.
            most: examples at most, the first; None: all.
        """
        some = examples[:most]
        requests = some.requests(self.row_kinds())
        given = answerer.answers(requests, options, self.trains)
        return self.measure(given, some)

    def remark(self, examples):
        """What to say of examples before they are measured, or ""."""
        return ""

    def rank(self, figures):
        """By which figure rounds are compared: the higher the better."""
        sign = -1 if self.best.startswith("-") else 1
        return sign * figures[self.best.removeprefix("-")]

    def readable(self, request, row):
        """What people get of a row of a response: strings as str, numbers as Python's.

        Args:
            request: as it was given, a dict.
            row: output name -> bytes, number or array.
        """
        return {name: _plain(value) for name, value in row.items()}

    def signatures(self):
        """Further signatures: name -> `signatures.Signature`."""
        return {}

    def signature(self, name):
        """A signature of this task by its name, with those that every task has."""
        return signature_named(self, name)

    def readers(self, kind):
        """The signatures that read an input kind of this name: list of names."""
        signatures = signatures_of(self).items()
        return [name for name, signature in signatures if kind in signature.kinds]

    def describe(self, splits):
        """Facts about the data beside those that core knows: dict, for people. The task
        has learned from it already."""
        return {}

    def example_rows(self, splits):
        """Three training examples in a line each, for people."""
        train = splits.train
        for i in range(0, len(train), max(1, len(train) // 3))[:3]:
            yield self.example_row(train, i)

    def example_row(self, examples, i):
        """The i-th example in a line, for people."""
        kinds, parts = self.row_kinds(), []
        for name, values in examples.columns.items():
            show = kinds[name].text_of if name in kinds else str
            parts.append(show(values[i]))
        return "; ".join(parts)

    def write(self, path, kinds, requests, answers, given):
        """Answers into a file: a table, a row each, of what stood beside the requests,
        what they were, and the parts of the answers that fit into a cell.

        Args:
            given: a dict per request, by names that neither it nor an answer has.

        Raises:
            UserError: the file has no ending of a table.
        """
        rows = []
        for request, answer, others in zip(requests, answers, given, strict=True):
            asked = {name: kinds[name].text_of(request[name]) for name in kinds}
            cells = {k: v for k, v in answer.items() if getattr(v, "ndim", 0) < 2}
            rows.append(others | asked | cells)
        tables.write(path, rows)

    # What few need

    draw = None  # function (requests, answers) -> matplotlib Figure, or an Animation
    page = None  # function (requests, answers) -> str, the same as HTML
    stream = None  # function (answerer, request, options) -> parts of `show`, in turn
    # function (run, path or None, out) -> dict of facts about the inside
    inspect = None
    # function (answerer, name, requests) -> the task that also knows these by that name
    add = None
    # function (answering, request, options) -> as `stream`, of a client that chooses
    # itself by what `call` and `inputs_of` of a `core.run.Answering` give
    stream_by_steps = None

    def demo_requests(self, splits):
        """Some requests that show what the task is."""
        kinds = self.kinds()
        if self.trains == "serving_default" and hasattr(splits.test, "requests"):
            return splits.test[:3].requests(kinds)
        return example_requests(kinds)


def example_requests(kinds):
    """What the kinds give as examples: two requests, a value per kind."""
    columns = [kind.examples() for kind in kinds.values()]
    return [dict(zip(kinds, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_plain(item) for item in value]
    return value.item() if getattr(value, "ndim", 1) == 0 else value


def checked_options(task, options):
    """The task's `Options` with some fields set.

    Raises:
        UserError: one is unknown, or has a value that it cannot have.
    """
    try:
        return dataclasses.replace(task.Options(), **options)
    except TypeError as error:
        known = ", ".join(f.name for f in dataclasses.fields(task.Options))
        raise UserError(f"{error}. Options of an answer: {known}.") from None
