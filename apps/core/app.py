"""App: the record that ties a task's pieces together, and the Python door.

    from saccade.apps.captioning import APP

    run = APP.train(APP.presets["tiny"]())
    run.evaluate()
    run.predict(["cat.png"])
    run.export("saved_models")

The command line and the notebooks are thin over this.
"""

import dataclasses
import datetime
import json
import logging
import pathlib
import types

import keras
import tensorflow as tf

from .config import UserError, from_json, to_json
from .training import write_text

log = logging.getLogger("saccade")

RUNS = pathlib.Path("runs")


@dataclasses.dataclass(frozen=True)
class App:
    """A task, by the modules of its folder. What each module must offer:

    config: `Config`, `Decode` (frozen dataclasses), `PRESETS` by name, and
            `preset_for(data)` -> the name of the one that suits a value of --data.
    data:   `load_data(config)` -> splits with .train, .validation, .test;
            `describe(splits)` -> dict of facts for people;
            `why_no_test(config)` -> why the data has no test split: half a sentence;
            `example()` -> one raw request as a client sends it;
            `learn(config, splits)` -> (config, assets), what must be learned from the
            data before a model can be built, a vocabulary for instance, with
            `to_json()`; the config comes back with open fields filled in;
            `assets_from_json(text)` -> assets.
    model:  `build_model(config, assets)` -> keras.Model.
    train:  `fit(model, config, assets, splits, folder, resume, planned)` -> config
            with the number of steps filled in; calls `planned(config)` with it before
            the first step, so that the folder can say what is being trained.
    serve:  `exported_options(config)` -> the `Decode` of an export;
            `evaluate(model, config, assets, examples, options)` -> dict of figures;
            `predict(model, config, assets, inputs, options)` -> list of dicts;
            `signatures(model, config, assets, options)` -> dict of tf.functions;
            `from_signature(function, inputs, **options)` -> as `predict`, from an
            export; it need not take options but those of REQUEST_OPTIONS.
            Where it has them:
            `draw(inputs, answers, config)` -> matplotlib Figure;
            `test_examples(config, assets)` -> the test split of the data that `config`
            names, where it depends on what was learned from the run's own data;
            `REQUEST_OPTIONS`, the fields of `Decode` that an export's clients choose;
            `stream(model, config, assets, input, options)` -> parts of one answer, as
            they come; `tell(loaded, inputs, options)` -> what the terminal shows.
    reading: None, or `inspect(run, path, out)` -> dict of facts: what goes on inside
            the model while it reads a file.
    """

    name: str
    summary: str
    config: types.ModuleType
    data: types.ModuleType
    model: types.ModuleType
    training: types.ModuleType
    serve: types.ModuleType
    reading: types.ModuleType | None = None

    @property
    def presets(self):
        return self.config.PRESETS

    @property
    def Config(self):
        return self.config.Config

    @property
    def decode_options(self):
        return self.config.Decode()

    def example(self):
        """One raw request, as a client would send it."""
        return self.data.example()

    def describe_data(self, config):
        """Facts about the data that `config` names, for people."""
        return self.data.describe(self.data.load_data(config))

    def train(self, config=None, out=None, resume=False):
        """Train a model and evaluate it on the test split.

        Args:
            config: a `Config`; the preset "default" where it is None. With `resume`
                the folder's own config.json is used instead.
            out: the run's folder; None: `runs/<app>/<time>`. Must be new or empty,
                unless `resume`.
            resume: go on from the last checkpoint in `out` (None: the newest run).

        Returns:
            the Run, with the best weights and the test figures in `metrics`; without
            a test split a warning comes first, and `metrics` is empty.
        """
        if resume:
            folder = pathlib.Path(out) if out else self._newest()
            config = _read_config(self.Config, folder)
        else:
            config = config or self.presets["default"]()
            folder = self._new_folder(out)
        keras.utils.set_random_seed(config.seed)
        splits = self.data.load_data(config)
        if not len(splits.test):  # Said now, when it can still be mended.
            log.warning(
                "There will be no scores: the test split is empty, because %s.",
                self.data.why_no_test(config),
            )
        config, assets = self.data.learn(config, splits)
        model = self.model.build_model(config, assets)

        def planned(config):
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "assets.json", assets.to_json())
            write_text(folder / "config.json", to_json(config))

        config = self.training.fit(
            model, config, assets, splits, folder, resume, planned
        )
        run = Run(self, config, assets, model, folder)
        if len(splits.test):
            run.evaluate()
        return run

    def load(self, path=None):
        """A trained model: from a run's folder, or from an export's version folder.

        Args:
            path: None for the newest run of this app.

        Returns:
            Run or Export; both have `predict`.
        """
        folder = pathlib.Path(path) if path else self._newest()
        if (folder / "saved_model.pb").exists():
            return Export(self, folder)
        config = _read_config(self.Config, folder)
        if not (folder / "model.keras").exists():
            raise UserError(
                f"{folder} holds no model.keras: its training has not finished a round "
                f"yet. Go on with: saccade train {self.name} --resume --out {folder}"
            )
        assets = self.data.assets_from_json((folder / "assets.json").read_text("utf-8"))
        model = self.model.build_model(config, assets)
        model.load_weights(folder / "model.keras")
        run = Run(self, config, assets, model, folder)
        if (folder / "metrics.json").exists():
            run.metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        return run

    def inspector(self):
        """The module that looks into the model; an error where there is none."""
        if self.reading is None:
            raise UserError(
                f"{self.name} has nothing to inspect: `saccade inspect` is for apps "
                f"that read texts. Try: saccade predict {self.name} --help"
            )
        return self.reading

    def _newest(self):
        runs = sorted(RUNS.glob(f"{self.name}/*/config.json"))
        if not runs:
            raise UserError(
                f"No run of {self.name} in {RUNS / self.name}. Train one first: "
                f"saccade train {self.name}"
            )
        return runs[-1].parent

    def _new_folder(self, out):
        if out is None:
            now = datetime.datetime.now()
            folder = RUNS / self.name / now.strftime("%Y-%m-%d-%H%M%S-%f")
        else:
            folder = pathlib.Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(
                f"{folder} is there already and not empty. Name a new folder with "
                "--out, or go on training with --resume."
            )
        return folder


@dataclasses.dataclass
class Run:
    """A trained model with everything it needs. `metrics`: its last test figures."""

    app: App
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
        figures = self.app.serve.evaluate(
            self.model, self.config, self.assets, data, _options(self.app, options)
        )
        if own:
            self.metrics = figures
            write_text(self.folder / "metrics.json", json.dumps(figures, indent=1))
        return figures

    def predict(self, inputs, **options):
        """Answers for raw inputs: a list of dicts, one per input, in their order."""
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

    def export(self, to="saved_models"):
        """Write the SavedModel `<to>/<app>/<next version>`; returns its folder."""
        from .export import write_export

        return write_export(self, to)


@dataclasses.dataclass
class Export:
    """A SavedModel on disk, used as TF Serving would use it."""

    app: App
    folder: pathlib.Path

    def __post_init__(self):
        self._loaded = tf.saved_model.load(str(self.folder))

    def predict(self, inputs, **options):
        """As `Run.predict`; how it decodes was fixed when it was exported, but for
        what a request can hold."""
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
            f"{app.name} has no picture of an answer.{hint if app.reading else ''}"
        )
    return app.serve.draw(inputs, answers, config)


def _options(app, options):
    try:
        return dataclasses.replace(app.decode_options, **options)
    except TypeError as error:
        known = [f.name for f in dataclasses.fields(app.decode_options)]
        raise UserError(f"{error}. Decode options: {', '.join(known)}.") from None


def _read_config(cls, folder):
    path = folder / "config.json"
    if not path.exists():
        raise UserError(
            f"{folder} is no run's folder and no export: expected a config.json or a "
            "saved_model.pb in it."
        )
    return from_json(cls, path.read_text("utf-8"))
