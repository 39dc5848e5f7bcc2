"""What a trained faces model answers: who, whether two are one, and who was added."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf
import typer.testing

from saccade.apps.cli import cli
from saccade.apps.cli.tables import show_folds
from saccade.apps.core import folds
from saccade.apps.core.errors import UserError
from saccade.apps.faces import drawing
from saccade.apps.faces.model import MarginLoss
from saccade.apps.faces.task import turn_and_light

from ...groups import of_apps


@pytest.fixture(**of_apps("faces"))
def name(request):
    return request.param


@pytest.fixture
def strangers(run):
    """Pictures of test persons who were not in training: name -> list."""
    test, found = run.task.read().test, {}
    for picture, label in zip(test["image"], test["label"], strict=True):
        if label not in run.assets.labels:
            found.setdefault(label, []).append(picture)
    return found


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the run that may be changed."""
    return trained.app.load(shutil.copytree(trained.run.folder, tmp_path / "run"))


def test_embeddings_have_length_one_and_give_the_distance(run, strangers):
    (one, *_), (other, *_), *_ = strangers.values()
    a, b = run.predict([one, other], "embed")
    for answer in (a, b):
        assert np.linalg.norm(answer["embedding"]) == pytest.approx(1, abs=1e-5)
    (verified,) = run.predict([{"image": one, "other": other}], "verify")
    apart = np.linalg.norm(a["embedding"] - b["embedding"])
    assert verified["distance"] == pytest.approx(apart, abs=1e-4)
    (itself,) = run.predict([{"image": one, "other": one}], "verify")
    assert itself["distance"] < 1e-2 and itself["same"]


def test_a_request_sets_the_threshold(run, strangers):
    (one, other, *_), *_ = strangers.values()
    pair = [{"image": one, "other": other}]
    (verified,) = run.predict(pair, "verify")
    near, far = verified["distance"] + 1e-3, verified["distance"] - 1e-3
    assert run.predict(pair, "verify", threshold=near)[0]["same"]
    assert not run.predict(pair, "verify", threshold=far)[0]["same"]
    (answer,) = run.predict([one])
    (strict,) = run.predict([one], threshold=answer["distance"] - 1e-3)
    (generous,) = run.predict([one], threshold=2.0)
    assert strict["label"] == "unknown" != strict["nearest"]
    assert generous["label"] == generous["nearest"] == strict["nearest"]


def test_the_thresholds_are_those_of_the_validation(run):
    """Of strangers in validation 1 % of pairs of two are taken for one; and as many are
    named as known persons are not."""
    examples = run.task.read().validation
    labels = np.array(examples["label"])
    answers = run.predict(examples["image"])
    known = np.isin(labels, run.assets.labels)
    called = np.array([answer["label"] for answer in answers])
    named, refused = called[known] == labels[known], called[~known] == "unknown"
    assert abs(named.mean() - refused.mean()) < 0.1
    vectors = np.array([answer["embedding"] for answer in answers])[~known]
    i, j = np.triu_indices(len(vectors), 1)
    two = labels[~known][i] != labels[~known][j]
    apart = np.linalg.norm(vectors[i] - vectors[j], axis=1)[two]
    assert 0 < np.mean(apart <= run.assets.pair_threshold + 1e-6) <= 0.011


def test_an_added_person_is_known_from_then_on(copied, trained, strangers, tmp_path):
    (eve, pictures), *_ = strangers.items()
    before = [answer["nearest"] for answer in copied.predict(pictures)]
    assert eve not in before
    copied.add(eve, pictures[:3])
    loaded = trained.app.load(copied.folder)
    exported = trained.app.load(loaded.export(tmp_path / "exported"))
    for door in (copied, loaded, exported):
        after = [answer["nearest"] for answer in door.predict(pictures[3:])]
        assert np.mean([name == eve for name in after]) > 0.8
    # Again: the new pictures count, and there is no second person of the name.
    copied.add(eve, pictures[:1])
    assert copied.assets.added == (eve,)
    # Those in training are found as before.
    test = copied.task.read().test
    known = [
        (picture, label)
        for picture, label in zip(test["image"], test["label"], strict=True)
        if label in copied.assets.labels
    ]
    answers = copied.predict([picture for picture, _ in known])
    right = [
        a["nearest"] == label for a, (_, label) in zip(answers, known, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_who_cannot_be_added(copied, strangers, trained):
    pictures = next(iter(strangers.values()))
    for taken in (copied.assets.labels[0], "unknown", " "):
        with pytest.raises(UserError, match="who was not in training"):
            copied.add(taken, pictures)
    with pytest.raises(UserError, match="--add: .*is no JPEG"):
        copied.add("eve", [pictures[0], b"no picture"])
    assert copied.assets.added == ()
    with pytest.raises(UserError, match="export it again"):
        trained.loaded_export.add("eve", pictures)


def test_a_finished_run_is_resumed_with_its_threshold(copied, trained):
    """What was learned after training is no other data; who was added is forgotten."""
    copied.add("eve", drawing.pictures("eve", 2))
    resumed = trained.app.train(out=copied.folder, resume=True)
    assert resumed.assets == trained.run.assets
    assert trained.app.load(copied.folder).assets == trained.run.assets


def test_the_command_line_verifies_and_adds(copied, strangers, tmp_path):
    (eve, (a, b, *_)), (_, (c, *_)), *_ = strangers.items()
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, content in zip(paths, (a, b, c), strict=True):
        path.write_bytes(content)

    def predict(*words):
        words = ["predict", "faces", str(copied.folder), *map(str, words)]
        return typer.testing.CliRunner().invoke(cli, words)

    same = predict("--signature=verify", *paths[:2], "--threshold=2")
    assert same.exit_code == 0, same.output
    assert f"{paths[0]} {paths[1]}: the same person  (distance" in same.output
    two = predict("--signature=verify", *paths, *paths[:1], "--threshold=0.001")
    assert two.output.count("two persons  (distance") == 2  # two pairs
    odd = predict("--signature=verify", *paths)
    assert "--other" in str(odd.exception)

    added = predict("--add", eve, *paths[:2])
    assert added.exit_code == 0 and f"added: {eve}" in added.output
    assert eve in predict(paths[0], "--threshold=2").output
    drawn = predict(*paths, "--plot", tmp_path / "nearest.png")
    assert drawn.exit_code == 0 and (tmp_path / "nearest.png").stat().st_size > 10_000
    alone = predict(paths[0], "--plot", tmp_path / "one.png")
    assert "two pictures at least" in str(alone.exception)


def test_folds_of_persons_are_measured_one_by_one(trained, capsys):
    """Two models' embeddings have nothing to do with each other."""
    config = dataclasses.replace(trained.small, steps=1, rounds=1)
    task = trained.app.task_for(config)
    figures = folds.evaluate(task, 2, "label", task.Options())
    assert figures["pooled"] == {}
    assert {"auc", "eer", "refused"} <= figures["mean"].keys()
    assert "rank_1" not in figures["mean"]  # nobody in a fold was in its training
    show_folds({**figures, "data": "builtin"})
    assert "tar at far 1" in capsys.readouterr().out


def test_inspect_draws_the_curve_of_strangers(run, strangers, tmp_path):
    facts = run.inspect(out=tmp_path)
    assert (tmp_path / "roc.png").stat().st_size > 10_000
    count = sum(map(len, strangers.values()))
    assert facts["of"] == f"{count} test pictures of persons who were not in training"
    for figure in ("auc", "eer", "tar_at_far_1"):
        assert facts[figure] == pytest.approx(run.metrics[figure], abs=0.5)


def test_the_margin_is_taken_off_the_right_logit():
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    targets = np.array([0, 2, 1, 1])
    lowered = logits.copy()
    lowered[np.arange(4), targets] -= 0.7
    plain, margin = MarginLoss(), MarginLoss(margin=0.7)
    np.testing.assert_allclose(
        margin.call(targets, logits), plain.call(targets, lowered), rtol=1e-5
    )
    copy = MarginLoss.from_config(margin.get_config())
    np.testing.assert_array_equal(
        copy.call(targets, logits), margin.call(targets, logits)
    )


def test_turns_are_about_the_middle_and_a_function_of_the_seed():
    pixels = np.full((8, 33, 33, 3), 200, np.uint8)
    pixels[:, 15:18, 15:18] = 50
    changed = turn_and_light(tf.constant(pixels), 30.0, 0.0, [1, 2]).numpy()
    assert (changed[:, 16, 16] == 50).all()
    assert (changed != pixels).any()
    again = turn_and_light(tf.constant(pixels), 30.0, 0.0, [1, 2]).numpy()
    np.testing.assert_array_equal(again, changed)
    same = turn_and_light(tf.constant(pixels), 0.0, 0.0, [1, 2]).numpy()
    np.testing.assert_array_equal(same, pixels)
    light = turn_and_light(tf.constant(pixels), 0.0, 0.3, [1, 2]).numpy()
    assert len(np.unique(light[:, 0, 0, 0])) > 4
