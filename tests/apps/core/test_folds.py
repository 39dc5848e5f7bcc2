"""Cross-validation: who is tested when, by whom, and what comes of it."""

import json

import keras
import numpy as np
import pytest
import typer.testing

from saccade import apps
from saccade.apps.cli import cli
from saccade.apps.core import folds
from saccade.apps.core.data.rows import Examples, Splits
from saccade.apps.core.errors import UserError
from saccade.apps.dna import APP
from saccade.apps.dna.config import Config

SMALL = {
    "filters": 4,
    "filter_width": 3,
    "units": 4,
    "steps": 4,
    "rounds": 2,
    "batch_size": 8,
    "dropout_filters": 0.0,
}


def write(path, count=30, columns=("sequence", "label", "family")):
    """Rows of which every third repeats the one before in small letters."""
    draw = np.random.default_rng(0)
    lines = [",".join(columns)]
    for i in range(count):
        if i % 3 != 2:
            sequence = "".join(draw.choice([*"ACGT"], 12))
        label = "ab"["G" in sequence[:4]]
        text = sequence.lower() if i % 3 == 2 else sequence
        lines.append(f"{text},{label},f{i % 5}")
    path.write_text("\n".join(lines))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    write(folder / "rows.csv")
    return APP.train(Config(data=str(folder / "rows.csv"), **SMALL), out=folder / "run")


def observed(monkeypatch, learned=None):
    """What every fold is given: list of its `Splits`; and no training."""
    seen = []

    def train(self, data):
        seen.append(data)
        if learned:
            learned(self, data)

    monkeypatch.setattr(folds.Trainer, "train", train)
    return seen


@pytest.mark.parametrize(
    "count, group", [(5, ""), (3, "family"), ("leave-one-out", "")]
)
def test_no_row_is_in_its_own_training(run, monkeypatch, count, group):
    seen = observed(monkeypatch)
    figures = run.cross_validate(count, group)
    column = group or "sequence"
    tested = []
    for data in seen:
        parts = [data.train, data.validation, data.test]
        assert sum(map(len, parts)) == 30
        of_parts = [set(part[column]) for part in parts]
        assert of_parts[2] and not of_parts[2] & (of_parts[0] | of_parts[1])
        assert not of_parts[0] & of_parts[1]
        # Small letters are the same sequence.
        assert all(
            sequence.isupper() for part in parts for sequence in part["sequence"]
        )
        tested += list(zip(*data.test.columns.values(), strict=True))
    # Every row is a test row once.
    whole = folds.all_rows(run.app.task_for(run.config).read())
    assert sorted(tested) == sorted(zip(*whole.columns.values(), strict=True))
    assert figures["folds"] == len(seen) == {"leave-one-out": 20}.get(count, count)
    assert figures["rows"] == 30 and figures["pooled"]["errors"] <= 30


def test_with_one_round_there_is_nothing_to_choose_and_all_others_are_learned(
    run, monkeypatch, tmp_path
):
    seen = observed(monkeypatch)
    config = Config(**{**vars(run.config), "rounds": 1})
    folds.evaluate(APP.task_for(config), 5, "", APP.Options())
    assert all(not len(d.validation) for d in seen)
    assert all(len(d.train) + len(d.test) == 30 for d in seen)


def test_every_fold_begins_at_the_same_beginning(run):
    """Folds are independent: the second, trained in the same model, ends bit-equal to
    one that was trained alone in a new one."""
    task = APP.task_for(run.config)
    rows = folds.all_rows(task.read())
    groups = folds.groups_of(task, rows, "")
    parts = folds.folds_of(groups, 3)
    first, second = (folds.splits_of(task, rows, part, groups) for part in parts[:2])
    trainer = folds.Trainer(task.learn(first.train))
    trainer.train(first)
    after_first = trainer.answerer.model.get_weights()
    trainer.train(second)
    together = trainer.answerer.model.get_weights()
    alone = folds.Trainer(task.learn(second.train))
    assert alone.fits(task.learn(first.train))
    alone.train(second)
    for a, b in zip(alone.answerer.model.get_weights(), together, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        not np.array_equal(a, b) for a, b in zip(after_first, together, strict=True)
    )


def test_a_model_that_knows_the_label_is_right_and_one_that_cannot_is_not(
    run, monkeypatch
):
    """Pooled figures are of the folds' own models: one that only remembers its
    training rows knows none of the test rows."""
    remembered = {}

    def learn(trainer, data):
        remembered.clear()
        remembered.update(zip(data.train["sequence"], data.train["label"], strict=True))

    observed(monkeypatch, learn)

    def answers(self, requests, options, name="serving_default"):
        return [
            {
                "label": remembered.get(request["sequence"], "?"),
                "score": 0.5,
                "labels": ["a", "b"],
                "probabilities": [0.5, 0.5],
                "ok": True,
            }
            for request in requests
        ]

    monkeypatch.setattr(folds.Answerer, "answers", answers)
    figures = run.cross_validate(4)
    assert figures["pooled"]["errors"] == 30 and figures["mean"]["accuracy"] == 0
    assert figures["deviation"]["accuracy"] == 0
    assert figures["deviation"]["errors"] == pytest.approx(
        np.std([9, 6, 9, 6], ddof=1), abs=2
    )


def test_other_labels_in_a_fold_make_another_model(run):
    task = APP.task_for(run.config)
    rows = folds.all_rows(task.read())
    learned = task.learn(rows)
    trainer = folds.Trainer(learned)
    assert trainer.fits(task.learn(rows))
    fewer = Examples(**{**rows.columns, "label": ["a", "c"] * 15})
    assert not trainer.fits(task.learn(fewer))


def test_another_app_has_folds_too():
    """Its vocabulary is learned anew in every fold, from the training part alone."""
    app = apps.load("sentiment")
    config = app.Config(builtin_size=60, units=4, embedding=4, steps=2, rounds=1)
    figures = folds.evaluate(app.task_for(config), 2, "", app.Options())
    assert figures["rows"] == 60 and 0 <= figures["pooled"]["macro_f1"] <= 100
    assert figures["mean"]["accuracy"] == pytest.approx(figures["pooled"]["accuracy"])


def test_wrong_numbers_and_columns(run):
    with pytest.raises(UserError, match="from 2 to 20, .*received 21"):
        run.cross_validate(21)
    with pytest.raises(UserError, match="one of sequence, label, family; received 'x'"):
        run.cross_validate(3, "x")

    class Streams:
        config = run.config

        def read(self):
            return Splits(["text"], ["text"], [])

    with pytest.raises(UserError, match="--folds needs data in rows"):
        folds.evaluate(Streams(), 3, "", None)


def test_a_loss_that_is_no_number_stops_it(run):
    config = Config(**{**vars(run.config), "learning_rate": 1e30, "clip": 0.0})
    task = APP.task_for(config)
    rows = folds.all_rows(task.read())
    trainer = folds.Trainer(task.learn(rows))
    weights = trainer.answerer.model.trainable_weights
    weights[-1].assign(np.full(weights[-1].shape, np.nan))
    trainer.beginning = trainer._values()
    with pytest.raises(UserError, match="loss of a fold is nan"):
        trainer.train(Splits(rows, rows, rows))
    keras.utils.set_random_seed(0)


def call(*words):
    return typer.testing.CliRunner().invoke(cli, ["evaluate", "dna", *map(str, words)])


def test_the_command_line(run, caplog):
    caplog.set_level("INFO", "saccade")
    done = call(run.folder, "--folds", "2", "--json")
    assert done.exit_code == 0, repr(done.exception)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["folds"] == 2 and figures["rows"] == 30
    assert 0 <= figures["pooled"]["accuracy"] <= 100
    assert json.loads((run.folder / "folds.json").read_text()) == figures
    lines = [line for line in caplog.messages if line.startswith("fold ")]
    assert len(lines) == 2 and "fold 1 of 2: " in lines[0] and "accuracy" in lines[0]
    # The same again: a fold's training depends on nothing but its rows and the seed.
    again = call(run.folder, "--folds", "2", "--json")
    assert json.loads(again.stdout.splitlines()[-1]) == figures
    shown = call(run.folder, "--folds", "2", "--group", "family").stdout
    assert "2 folds, 30 rows" in shown and "deviation" in shown and "errors" in shown


def test_the_command_line_refuses(run):
    for words, error in (
        (["--folds", "1"], "from 2 on, or leave-one-out; received '1'"),
        (["--folds", "many"], "received 'many'"),
        (["--group", "family"], "give --folds too"),
    ):
        done = call(run.folder, *words)
        assert isinstance(done.exception, UserError), words
        assert error in str(done.exception)
