"""App: the Python door to a task: train, load, and what is known without a run.

    from saccade.apps.captioning import APP

    run = APP.train(APP.presets["tiny"]())
    run.evaluate()
    run.predict(["cat.png"])
    run.export("saved_models")

The command line and the notebooks are thin over this.
"""

import contextlib
import dataclasses
import datetime
import json
import logging
import pathlib
import types
import typing
import warnings

import keras

from .errors import UserError
from .files.locks import only_one
from .files.whole import make_folder, write_text
from .run import NO_ASSETS, Export, Run, assets_json, example_tensors
from .settings.json_text import from_json, to_json
from .tasks.describe import describe
from .tasks.signatures import Answerer
from .training import devices, replicas, workers
from .training.checkpoints import rounds_done
from .training.feeding import check_rows
from .training.fit import fit

log = logging.getLogger("saccade")

RUNS = pathlib.Path("runs")


@dataclasses.dataclass(frozen=True)
class App:
    """An app: its settings, and its tasks.

    config: the module of its settings, which imports no TensorFlow: `SUMMARY`;
        `Config` and `Options`, frozen dataclasses; `PRESETS`, name -> the fields of
        `Config` that differ; `preset_for(data)` -> the name of the preset that suits a
        value of --data.
    task_for: function (config, assets=None) -> `tasks.task.Task`.
    """

    name: str
    config: types.ModuleType
    task_for: typing.Callable

    @property
    def summary(self):
        return self.config.SUMMARY

    @property
    def Config(self):
        return self.config.Config

    @property
    def Options(self):
        return self.config.Options

    @property
    def presets(self):
        """Name -> function without arguments -> `Config`."""
        return {name: self._preset(name) for name in self.config.PRESETS}

    def _preset(self, name):
        return lambda: self.Config(**self.config.PRESETS[name])

    def example(self):
        """Requests as a client would send them: tensor name -> rows."""
        return example_tensors(self.task_for(self.Config()))

    def describe_data(self, config):
        """Facts about the data that `config` names, for people."""
        task = self.task_for(config)
        splits = task.read()
        return describe(task, splits)

    def train(self, config=None, out=None, resume=False, strategy="none"):
        """Train a model and evaluate it on the test split.

        Args:
            config: a `Config`; the preset "default" where it is None. With `resume`
                the folder's own config.json is used instead.
            out: the run's folder; None: `runs/<app>/<time>`. Must be new or empty,
                unless `resume`.
            resume: go on from the last checkpoint in `out` (None: the newest run).
                Where nothing has begun in `out` yet, begin with `config`: the same
                command starts a training and goes on with it.
            strategy: on which devices, one of `training.devices.STRATEGIES`. With
                several workers all call it with the same arguments, and `out` must be
                one folder that all of them see; only the first writes into it.

        Returns:
            the Run, with the best weights and the test figures in `metrics`; without
            a test split a warning comes first, and `metrics` is empty.
        """
        strategy = devices.create(strategy)  # before anything of TensorFlow's
        with workers.lost_workers_named(strategy):
            return self._train(config, out, resume, strategy)

    def _train(self, config, out, resume, strategy):
        if workers.count(strategy) > 1 and not out:
            raise UserError(
                "Several workers need one folder for the run that all of them see: "
                "name it with --out."
            )
        if resume:
            folder = pathlib.Path(out) if out else self._newest()
            resume = _has_begun(folder)
            if not resume:
                log.warning("%s holds no run: starting from the beginning.", folder)
        else:
            folder = self._new_folder(out)
        if resume:
            config = _read_config(self, folder)
        config = config or self.presets["default"]()
        if not isinstance(config, self.Config):
            raise UserError(
                f"Expected a config of {self.name}, as APP.Config(data=...); received "
                f"{config!r}."
            )
        keras.utils.set_random_seed(config.seed)
        task = self.task_for(config)
        splits = task.read()
        if not len(splits.test):  # A warning now, when it can still be mended.
            log.warning(
                "There will be no scores: the test split is empty, because %s.",
                task.why_no_test(),
            )
        task = task.learn(splits.train)
        check_rows(config.batch_size, strategy)
        workers.check_same(  # before weights of other shapes meet
            to_json(task.config) + assets_json(task),
            strategy,
            "The workers train by different settings or data. Start all of them with "
            "the same command, and the same data in the same place.",
        )
        # Again: what was read and learned may have drawn, and not the same every time.
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            model = task.build_model()
            if not resume:
                task.begin(model)
        if devices.several(strategy):
            replicas.synchronise(model)
        until_trained = contextlib.ExitStack()

        def planned(config):
            if not workers.is_chief(strategy):
                return
            make_folder(folder)
            log.info("The run's folder: %s", folder)
            until_trained.enter_context(only_one(folder))
            if resume:
                _same_assets(folder / "assets.json", task)
            write_text(folder / "assets.json", assets_json(task))
            data = {"name": config.data, "sha256": splits.sha256}
            write_text(folder / "data.json", json.dumps(data, indent=1))
            write_text(folder / "config.json", to_json(config, self.name))

        answerer = Answerer(task, model)
        with until_trained:
            config = fit(task, answerer, splits, folder, resume, planned)
        answerer.task = task = task.bound(config)
        run = Run(self, answerer, folder)
        calibrated = task.calibrate(answerer, splits)
        if calibrated is not task:
            run.take(calibrated, write=workers.is_chief(strategy))
        if len(splits.test) and workers.is_chief(strategy):
            run.keep(run.measure(splits.test))
        workers.wait(strategy)
        if not workers.is_chief(strategy):
            run.metrics = _read_metrics(folder)
        return run

    def load(self, path=None):
        """A trained model: from a run's folder, or from an export's version folder.

        Args:
            path: None for the newest run of this app.

        Returns:
            Run or Export; both have `predict`.
        """
        folder = pathlib.Path(path) if path else self._newest()
        if not path:
            log.info("Taking the newest run, %s.", folder)
        if (folder / "saved_model.pb").exists():
            _check_owner(self, folder)
            return Export(self, folder)
        config = _read_config(self, folder)
        if not (folder / "model.keras").exists():
            raise UserError(
                f"{folder} holds no model.keras: its training has not finished a round "
                f"yet. Go on with: saccade train {self.name} --resume --out {folder}"
            )
        try:
            task = self.task_for(config)
            text = (folder / "assets.json").read_text("utf-8")
            if text != NO_ASSETS:
                task = task.bound(assets=task.assets_from_json(text))
            model = task.build_model()
            # Only the weights are read, never what a file says about layers: it may
            # come from somebody else. Where some are missing Keras would only warn,
            # and leave them random.
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                model.load_weights(folder / "model.keras")
        except Exception as error:  # Damaged files raise many kinds.
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{folder} cannot be loaded: assets.json or model.keras is missing, "
                f"damaged, or of another model than its config.json describes "
                f"({type(error).__name__}: {reason}). If an older version of saccade "
                f"wrote it, train it again by its settings: saccade train {self.name} "
                f"--config {folder / 'config.json'}; its exports still answer."
            ) from error
        rounds = min(config.rounds, config.steps)
        done = rounds_done(folder, rounds)
        if done < rounds:
            log.warning(
                "%s is not trained to its end: %d of %d rounds. These are its best "
                "weights so far.",
                folder,
                done,
                rounds,
            )
        return Run(self, Answerer(task, model), folder, _read_metrics(folder))

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
        if folder.exists() and not folder.is_dir():
            raise UserError(
                f"--out expected a folder for the run; {folder} is a file. Name a new "
                "folder."
            )
        if (folder / "config.json").exists():
            raise UserError(
                f"{folder} is there already and holds a run. Name a new folder with "
                "--out, or go on training with --resume."
            )
        if folder.exists() and any(folder.iterdir()):
            raise UserError(
                f"{folder} is there already and holds other things than a run. Name a "
                "new folder with --out."
            )
        return folder


def _read_metrics(folder):
    path = folder / "metrics.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _has_begun(folder):
    """False for a folder of a training that was killed before it wrote its config."""
    if not folder.is_dir():
        return folder.exists()
    before = ("assets.json", "data.json", ".writing-")
    return not all(path.name.startswith(before) for path in folder.iterdir())


def _same_assets(path, task):
    """An error where the data has changed since the run in this folder began.

    task: what is learned from the data now.
    """
    if not path.exists():
        return
    text = path.read_text("utf-8")
    same = text == NO_ASSETS if task.assets is None else task.learned_as(text)
    if not same:
        raise UserError(
            f"The data that {path.parent / 'config.json'} names has changed since this "
            f"run began: what is learned from it is not what {path.name} says. Bring "
            "the old data back, or train into a new folder."
        )


def _check_owner(app, folder):
    """An error where an export belongs to another app."""
    path = folder / "model_card.json"
    if path.exists():
        owner = json.loads(path.read_text("utf-8"))["app"]
        if owner != app.name:
            raise UserError(f"{folder} is an export of {owner}, not of {app.name}.")


def _read_config(app, folder):
    path = folder / "config.json"
    if not path.exists():
        versions = sorted(folder.glob("*/saved_model.pb"))
        hint = f" Name a version: {versions[-1].parent}" if versions else ""
        raise UserError(
            f"{folder} is no run's folder and no export: expected a config.json or a "
            f"saved_model.pb in it.{hint}"
        )
    try:
        return from_json(app.Config, path.read_text("utf-8"), app.name)
    except ValueError as error:  # also: no UTF-8
        raise UserError(f"{path}: {error}") from None
