"""Run and Export: a trained model in its folder, and a SavedModel on disk."""

import dataclasses
import json
import logging
import os
import pathlib
import typing

import tensorflow as tf

from . import folds as cross_validation
from .errors import UserError
from .files.whole import write_text
from .serving.export import Exported, write_export
from .settings.fields import request_fields
from .settings.json_text import from_json
from .tasks import signatures
from .tasks.task import checked_options, example_requests

if typing.TYPE_CHECKING:
    from .app import App

log = logging.getLogger("saccade")

NO_ASSETS = "null"  # the assets.json of a task that learns nothing before its model


def assets_json(task):
    """What a task has learned, as JSON."""
    return task.assets.to_json() if task.assets is not None else NO_ASSETS


@dataclasses.dataclass
class Run:
    """A trained model with everything it needs. `metrics`: its last test figures."""

    app: "App"
    answerer: signatures.Answerer
    folder: pathlib.Path
    metrics: dict = dataclasses.field(default_factory=dict)

    @property
    def task(self):
        return self.answerer.task

    @property
    def streams(self):
        """Whether an answer comes in parts."""
        return self.task.stream is not None

    @property
    def model(self):
        return self.answerer.model

    @property
    def config(self):
        return self.task.config

    @property
    def assets(self):
        return self.task.assets

    def evaluate(self, data=None, **options):
        """Figures on the test split, from free-running decoding where it decodes.

        Args:
            data: None for the test split of the run's own data; a value of the
                config's `data`; or examples.
            options: fields of the app's `Options`.
        """
        own = data is None
        if own:
            data = self.config.data
        if isinstance(data, str):
            config = dataclasses.replace(self.config, data=data)
            task = self.task.bound(config)
            data = task.read().test
            if not len(data):
                raise UserError(
                    "There is nothing to evaluate: the test split is empty, because "
                    f"{task.why_no_test()}."
                )
        elif not len(data):
            raise UserError("There is nothing to evaluate: received no examples.")
        figures = self.measure(data, **options)
        if own:
            self.keep(figures)
        return figures

    def measure(self, examples, **options):
        """As `evaluate`, of examples, and the run's folder stays as it is."""
        options = checked_options(self.task, options)
        if remark := self.task.remark(examples):
            log.warning("%s", remark)
        return self.task.evaluate(self.answerer, examples, options)

    def cross_validate(self, folds, group="", data=None, **options):
        """Figures by cross-validation: this run's settings, trained anew per fold; its
        own weights stay as they are. They are kept in the run's folder, in folds.json.

        Args:
            folds: how many, or "leave-one-out". group: a column of the data whose equal
                values stay in one fold; "": equal requests do.
            data: a value of the config's `data`; None: the run's own.
            options: fields of the app's `Options`.

        Returns:
            dict, see `folds.evaluate`.
        """
        config = dataclasses.replace(self.config, data=data or self.config.data)
        task = self.app.task_for(config)
        options = checked_options(task, options)
        figures = cross_validation.evaluate(task, folds, group, options)
        figures["data"] = config.data
        write_text(self.folder / "folds.json", json.dumps(figures, indent=1))
        return figures

    def keep(self, figures):
        """Write the figures of the test split into the run's folder."""
        self.metrics = figures
        write_text(self.folder / "metrics.json", json.dumps(figures, indent=1))

    def add(self, name, requests):
        """Teach the run something by examples, without training: it is kept in the
        run's folder, and is part of the next export. A resumed training forgets it.

        Args:
            name: what they are. requests: as for `predict`.
        """
        if self.task.add is None:
            raise UserError(
                f"{self.app.name} learns by training only: it has no --add."
            )
        _check_requests(requests)
        kinds = self.task.kinds()
        requests = [signatures.as_request(kinds, request) for request in requests]
        self.take(self.task.add(self.answerer, name, requests))

    def take(self, task, write=True):
        """Go on with this task, which has other assets. write: into the folder too."""
        self.answerer = signatures.Answerer(task, self.model)
        if write:
            write_text(self.folder / "assets.json", assets_json(task))

    def predict(self, requests, signature="serving_default", **options):
        """Answers: a list of dicts, one per request, in their order.

        Args:
            requests: list of raw inputs; of a task with several, of dicts with one
                value per input kind.
            signature: which of the task's questions is asked.
            options: fields of the app's `Options`.

        Returns:
            per request what the task answers, with `ok` bool; where that is False also
            `error`, why.
        """
        _check_requests(requests)
        options = checked_options(self.task, options)
        return self.answerer.answers(requests, options, signature)

    def stream(self, request, **options):
        """Yields the answer to one request in parts, as they come."""
        if self.task.stream is None:
            raise UserError(f"{self.app.name} answers all at once: use `predict`.")
        options = checked_options(self.task, options)
        return self.task.stream(self.answerer, request, options)

    def draw(self, requests, answers):
        """A matplotlib Figure, or a `plot.Animation`, of what `predict` returned for
        these requests, with the signature `task.drawn`; `plot.write` writes it."""
        return _draw(self.task, requests, answers)

    def page(self, requests, answers):
        """As `draw`, as HTML: str."""
        return _page(self.task, requests, answers)

    def inspect(self, path=None, out=None):
        """What goes on inside the model.

        Args:
            path: of a file that it reads, where the task needs one.
            out: folder for what is drawn; None: `inspect` in the run's folder.

        Returns:
            dict of facts for people.
        """
        if self.task.inspect is None:
            raise UserError(
                f"{self.app.name} has nothing to inspect. Try: "
                f"saccade predict {self.app.name} --help"
            )
        out = pathlib.Path(out) if out else self.folder / "inspect"
        return self.task.inspect(self, pathlib.Path(path) if path else None, out)

    def export(self, to="saved_models", labels=()):
        """Write the SavedModel `<to>/<app>/<next version>`; returns its folder.

        Args:
            labels: see `core.serving.export.write_export`.
        """
        options = self.task.exported()
        every = signatures.signatures_of(self.task)
        exported = Exported(
            {name: self.answerer.function(name, options) for name in every},
            tuple(name for name, signature in every.items() if signature.compiled),
            options,
            example_tensors(self.task),
        )
        return write_export(self, exported, to, labels)


class Answering:
    """What an export and a server have in common: a function per signature.

    app: an `App`. task: a `Task` without a model. streams: whether an answer comes in
    parts where nobody asks for that.
    """

    app: "App"
    task: typing.Any
    streams = False

    def inputs_of(self, signature):
        """The inputs of a signature, name -> shape; None where there is no such
        signature."""
        raise NotImplementedError

    def call(self, signature, **inputs):
        """Input tensors by name -> outputs by name."""
        raise NotImplementedError

    def predict(self, requests, signature="serving_default", **options):
        """As `Run.predict`; how it answers was fixed when it was exported, but for what
        a request can hold."""
        _check_requests(requests)
        self.check_free(options, request_fields(self.task.Options))
        if options and signature == "serving_default":
            # An older export takes the options in `serving_default` itself.
            names = self.inputs_of("serving_default")
            if not set(options) <= set(names):
                signature = "with_options"
        names = self.inputs_of(signature)
        if names is None:
            raise UserError(
                f"This export of {self.app.name} has no signature {signature!r}: an "
                "older version wrote it. Export the run again: saccade export "
                f"{self.app.name} RUN"
            )
        return signatures.answers(
            self.task,
            lambda **inputs: self.call(signature, **inputs),
            names,
            requests,
            "serving_default" if signature == "with_options" else signature,
            checked_options(self.task, options),
        )

    def stream(self, request, **options):
        """Yields the answer to one request in parts: this process chooses each of
        them, by the signatures that go one step."""
        if self.task.stream_by_steps is None or self.inputs_of("step") is None:
            raise UserError(f"{self.app.name} answers all at once: leave --stream out.")
        options = checked_options(self.task, options)
        return self.task.stream_by_steps(self, request, options)

    def add(self, name, requests):
        raise UserError(
            "What is exported knows what it knew when it was exported: give --add to a "
            f"run's folder, and export it again: saccade export {self.app.name} RUN"
        )

    def check_free(self, options, free):
        fixed = [name for name in options if name not in free]
        if fixed:
            raise UserError(
                f"What is exported answers as it was exported; received "
                f"{', '.join(fixed)}. "
                + (f"A request can hold {', '.join(free)}. " if free else "")
                + "Give other options with a run's folder instead."
            )

    def draw(self, requests, answers):
        """As `Run.draw`."""
        return _draw(self.task, requests, answers)

    def page(self, requests, answers):
        """As `Run.page`."""
        return _page(self.task, requests, answers)


@dataclasses.dataclass
class Export(Answering):
    """A SavedModel on disk, used as TF Serving would use it."""

    app: "App"
    folder: pathlib.Path

    def __post_init__(self):
        try:
            self._loaded = tf.saved_model.load(str(self.folder))
            card = json.loads((self.folder / "model_card.json").read_text("utf-8"))
            config = from_json(self.app.Config, card["config"])
        except Exception as error:  # Damaged files raise many kinds.
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{self.folder} cannot be loaded: saved_model.pb, variables/ or "
                f"model_card.json is missing or damaged ({type(error).__name__}: "
                f"{reason:.200}). Export it again: saccade export {self.app.name} RUN"
            ) from error
        self.task = self.app.task_for(config)

    def inputs_of(self, signature):
        if signature not in self._loaded.signatures:
            return None
        specs = self._loaded.signatures[signature].structured_input_signature[1]
        return {name: spec.shape for name, spec in specs.items()}

    def call(self, signature, **inputs):
        return self._loaded.signatures[signature](**inputs)


def _draw(task, requests, answers):
    if task.draw is None:
        hint = ""
        if task.inspect is not None:
            hint = f" Look into it with: saccade inspect {task.name} RUN FILE"
        raise UserError(f"{task.name} has no picture of an answer.{hint}")
    return task.draw(requests, answers)


def _page(task, requests, answers):
    if task.page is None:
        raise UserError(
            f"{task.name} has no page of an answer; draw a picture: --plot FILE.png"
        )
    return task.page(requests, answers)


def _check_requests(requests):
    if isinstance(requests, str | bytes | dict | os.PathLike):
        raise UserError(
            f"Expected a list of requests, received the one request {requests!r}. "
            f"Write [{requests!r}]."
        )


def example_tensors(task):
    """Requests as a client would send them, to every signature that takes kinds of
    `serving_default` and options: tensor name -> two rows."""
    tensors = {}
    kinds = task.kinds()
    for request in example_requests(kinds):
        for name, kind in kinds.items():
            (spec,) = kind.specs(name)
            tensors.setdefault(spec.name, []).append(kind.encode(request[name])[0])
    options = task.exported()
    for name in request_fields(options):
        tensors[name] = [getattr(options, name)] * 2
    return tensors
