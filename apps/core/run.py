"""Run and Export: a trained model in its folder, and a SavedModel on disk."""

import dataclasses
import json
import os
import pathlib
import typing

import keras
import tensorflow as tf

from .errors import UserError
from .files.whole import write_text
from .settings.json_text import from_json

if typing.TYPE_CHECKING:
    from .app import App


@dataclasses.dataclass
class Run:
    """A trained model with everything it needs. `metrics`: its last test figures."""

    app: "App"
    config: object
    assets: object
    model: keras.Model
    folder: pathlib.Path
    metrics: dict = dataclasses.field(default_factory=dict)

    def evaluate(self, data=None, **options):
        """Figures on the test split, from free-running decoding where it decodes.

        Args:
            data: None for the test split of the run's own data; a value of the
                config's `data`; or examples.
            options: fields of the app's `Decode`.
        """
        own = data is None
        if own:
            data = self.config.data
        if isinstance(data, str):
            config = dataclasses.replace(self.config, data=data)
            if hasattr(self.app.serve, "test_examples"):
                data = self.app.serve.test_examples(config, self.assets)
            else:
                data = self.app.data.load_data(config).test
            if not len(data):
                raise UserError(
                    "There is nothing to evaluate: the test split is empty, because "
                    f"{self.app.data.why_no_test(config)}."
                )
        elif not len(data):
            raise UserError("There is nothing to evaluate: received no examples.")
        figures = self.measure(data, **options)
        if own:
            self.keep(figures)
        return figures

    def measure(self, examples, **options):
        """As `evaluate`, of examples, and the run's folder stays as it is."""
        return self.app.serve.evaluate(
            self.model, self.config, self.assets, examples, _options(self.app, options)
        )

    def keep(self, figures):
        """Write the figures of the test split into the run's folder."""
        self.metrics = figures
        write_text(self.folder / "metrics.json", json.dumps(figures, indent=1))

    def predict(self, inputs, **options):
        """Answers for raw inputs: a list of dicts, one per input, in their order."""
        _check_inputs(inputs)
        return self.app.serve.predict(
            self.model, self.config, self.assets, inputs, _options(self.app, options)
        )

    def stream(self, input, **options):
        """Yields the answer for one raw input in parts, as they come."""
        if not hasattr(self.app.serve, "stream"):
            raise UserError(f"{self.app.name} answers all at once: use `predict`.")
        options = _options(self.app, options)
        return self.app.serve.stream(
            self.model, self.config, self.assets, input, options
        )

    def draw(self, inputs, answers):
        """A matplotlib Figure of what `predict` returned for these inputs."""
        return _draw(self.app, inputs, answers, self.config)

    def inspect(self, path, out=None):
        """What goes on inside the model while it reads the file at `path`.

        Args:
            out: folder for what is drawn; None: `inspect` in the run's folder.

        Returns:
            dict of facts for people.
        """
        out = pathlib.Path(out) if out else self.folder / "inspect"
        return self.app.inspector().inspect(self, pathlib.Path(path), out)

    def export(self, to="saved_models", labels=()):
        """Write the SavedModel `<to>/<app>/<next version>`; returns its folder.

        Args:
            labels: see `core.serving.export.write_export`.
        """
        from .serving.export import write_export

        return write_export(self, to, labels)


@dataclasses.dataclass
class Export:
    """A SavedModel on disk, used as TF Serving would use it."""

    app: "App"
    folder: pathlib.Path

    def __post_init__(self):
        self._loaded = tf.saved_model.load(str(self.folder))

    def predict(self, inputs, **options):
        """As `Run.predict`; how it decodes was fixed when it was exported, but for
        what a request can hold."""
        _check_inputs(inputs)
        _options(self.app, options)
        free = getattr(self.app.serve, "REQUEST_OPTIONS", ())
        fixed = [name for name in options if name not in free]
        if fixed:
            raise UserError(
                f"An export decodes as it was exported; received {', '.join(fixed)}. "
                "Give these options with a run's folder instead."
            )
        function = self._loaded.signatures["serving_default"]
        return self.app.serve.from_signature(function, inputs, **options)

    def draw(self, inputs, answers):
        """As `Run.draw`."""
        card = json.loads((self.folder / "model_card.json").read_text("utf-8"))
        config = from_json(self.app.Config, card["config"])
        return _draw(self.app, inputs, answers, config)


def _draw(app, inputs, answers, config):
    if not hasattr(app.serve, "draw"):
        hint = f" Look into it with: saccade inspect {app.name} RUN FILE"
        raise UserError(
            f"{app.name} has no picture of an answer.{hint if app.inspection else ''}"
        )
    return app.serve.draw(inputs, answers, config)


def _check_inputs(inputs):
    if isinstance(inputs, str | bytes | os.PathLike):
        raise UserError(
            f"Expected a list of inputs, received the one input {inputs!r}. Write "
            f"[{inputs!r}]."
        )


def _options(app, options):
    try:
        return dataclasses.replace(app.decode_options, **options)
    except TypeError as error:
        known = [f.name for f in dataclasses.fields(app.decode_options)]
        raise UserError(f"{error}. Decode options: {', '.join(known)}.") from None
