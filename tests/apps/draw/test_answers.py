"""What draw answers: paintings by seeds, bounds of pictures, and what lies between."""

import base64
import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
import typer.testing
from PIL import Image

from saccade.apps.cli import cli
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs import pictures as pictures_of_core
from saccade.apps.core.report.plot import Animation
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.draw import APP, data, gallery
from saccade.apps.draw.config import PAPER

from ...groups import of_apps


@pytest.fixture(**of_apps("draw"))
def name(request):
    return request.param


@pytest.fixture
def pictures(trained):
    return trained.splits.test["image"][:5]


def png_of(answer):
    return Image.open(io.BytesIO(base64.b64decode(answer["png_bytes"])))


# Paintings


def test_a_seed_is_a_picture_and_temperature_0_is_one_for_all(run):
    one, again, other = run.predict([3, "3", 4])
    assert one["png_bytes"] == again["png_bytes"] != other["png_bytes"]
    png = np.asarray(png_of(one))
    np.testing.assert_allclose(png / 255, one["canvases"][-1], atol=1 / 30 + 1e-6)
    first, second = run.predict([3, 4], temperature=0.0)
    np.testing.assert_array_equal(first["canvases"], second["canvases"])


def test_a_seed_does_not_depend_on_its_neighbours(run):
    alone, together = run.predict([5]), run.predict([9, 5, 7])
    np.testing.assert_allclose(alone[0]["canvases"], together[1]["canvases"], atol=1e-6)


def test_noise_is_normal_and_of_every_stroke_its_own(run):
    noise = run.task.normal(tf.range(400)).numpy()
    assert noise.shape == (400, *run.task.noise_shape)
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    steps = noise.transpose(1, 0, 2).reshape(noise.shape[1], -1)
    correlation = np.corrcoef(steps) - np.eye(len(steps))
    assert np.abs(correlation).max() < 0.1


@pytest.mark.parametrize("seed", ["x", -1, 2**31, 1.5, True, ""])
def test_what_is_no_seed_is_refused_and_spoils_nothing(run, seed):
    good, bad, more = run.predict([1, seed, 2])
    assert good["ok"] and more["ok"] and not bad["ok"]
    assert "expected a whole number from 0 to 2147483647, received" in bad["error"]


# Pictures


def test_the_bound_is_its_parts_and_they_are_the_models(run, pictures):
    task = run.task
    answers = run.predict([{"image": p} for p in pictures], "reconstruct")
    ink = data.pixels(pictures, run.config.image_size).astype("float32")
    noise = task.normal(task.seed_of(ink))
    seen = run.model.get_layer("draw")(ink, noise)
    logits = seen["canvas"].numpy().astype("float64")
    p = 1 / (1 + np.exp(-logits))
    recon = -(ink * np.log(p) + (1 - ink) * np.log(1 - p)).sum(axis=(1, 2))
    for i, answer in enumerate(answers):
        assert answer["recon"] == pytest.approx(recon[i], rel=1e-4)
        np.testing.assert_allclose(answer["kl"], seen["kl"][i], rtol=1e-4)
        total = answer["recon"] + answer["kl"].sum()
        assert answer["bound"] == pytest.approx(total, rel=1e-5)
        np.testing.assert_allclose(answer["canvases"][-1], p[i], atol=1e-4)


def test_the_importance_weighted_bound_is_lower_and_falls_with_the_samples(run, splits):
    examples = splits.test[:20]
    figures = [run.measure(examples, samples=k) for k in (2, 50)]
    assert "iwae" not in figures[0]
    assert figures[1]["iwae_50"] < figures[0]["iwae_2"]
    # One sample each time: of many pictures about the bound.
    assert abs(figures[0]["iwae_2"] - figures[0]["nats"]) < 5
    assert figures[0]["nats"] == figures[1]["nats"]


def test_one_weight_is_the_probability_of_picture_and_latent(run, pictures):
    """log p(x, z) - log q(z | x), by the densities themselves."""
    task = run.task
    ink = data.pixels(pictures, run.config.image_size).astype("float32")
    got = task.iwae(run.model, tf.constant(ink), 1).numpy()
    noise = task.normal(task.seed_of(ink), 1)
    seen = run.model({"image": tf.constant(ink), "noise": noise})
    out = {k: v.numpy() for k, v in seen.items()}
    z, mean, s = out["latents"], out["means"], np.exp(out["log_scales"])
    prior = (-(z**2) / 2 - np.log(2 * np.pi) / 2).sum(axis=(1, 2))
    posterior = -(((z - mean) / s) ** 2) / 2 - np.log(s) - np.log(2 * np.pi) / 2
    expected = out["reconstruction"] - prior + posterior.sum(axis=(1, 2))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_independent_pixels_are_measured_by_what_training_knows(run, splits):
    figures = run.measure(splits.test)
    shares = np.array(run.assets.shares).reshape(16, 16)
    ink = data.pixels(splits.test["image"], 16)
    expected = [-np.log(np.where(p, shares, 1 - shares)).sum() for p in ink]
    assert figures["independent"] == pytest.approx(np.mean(expected), rel=1e-6)
    gain = 100 * (1 - figures["nats"] / figures["independent"])
    assert figures["gain"] == pytest.approx(gain)
    assert sum(figures["kl_by_stroke"]["kl"].values()) == pytest.approx(figures["kl"])


def test_between_two_pictures_lie_their_reconstructions_at_the_ends(run, pictures):
    request = {"image": pictures[0], "other": pictures[1]}
    (there,) = run.predict([request], "interpolate")
    (back,) = run.predict([{"image": pictures[1], "other": pictures[0]}], "interpolate")
    np.testing.assert_allclose(there["between"], back["between"][::-1], atol=1e-4)
    assert there["between"].shape == (8, 16, 16)
    assert np.asarray(png_of(there)).shape == (16, 128)


def test_a_picture_in_black_on_white_is_the_same(run, pictures):
    pixels = np.asarray(Image.open(io.BytesIO(pictures[0])))
    file = io.BytesIO()
    Image.fromarray(255 - pixels).save(file, "PNG")
    one, other = run.predict([pictures[0], file.getvalue()], "reconstruct")
    assert one["bound"] == pytest.approx(other["bound"])


@pytest.mark.parametrize("paper", [0, 30, 255])
def test_beside_a_picture_that_is_no_square_is_paper(run, paper):
    wide = np.full((16, 32), paper, np.uint8)
    wide[4:12, 12:20] = 255 - paper
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "PNG")
    image = pictures_of_core.decoder(16)(tf.constant([file.getvalue()]))[0]
    ink = run.task.ink(image)[0].numpy()
    assert ink[6:10, 6:10].all() and not ink[:5].any() and not ink[11:].any()


# For people


def test_the_plot_of_seeds_moves_and_those_of_pictures_do_not(run, pictures, tmp_path):
    painted = run.draw([1, 2], run.predict([1, 2]))
    assert isinstance(painted, Animation)
    assert len(painted.frames) == run.config.strokes + 1
    pairs = itertools.pairwise(painted.frames)
    assert not any(np.array_equal(a, b) for a, b in pairs)
    requests = [{"image": pictures[0]}]
    sheet = run.draw(requests, run.predict(requests, "reconstruct"))
    assert len(sheet.axes) == run.config.strokes + 1
    requests = [{"image": pictures[0], "other": pictures[1]}]
    strip = run.draw(requests, run.predict(requests, "interpolate"))
    assert len(strip.axes) == 8
    with pytest.raises(UserError, match="no picture"):
        run.draw(["x"], run.predict(["x"]))


def test_a_box_beyond_the_border_is_drawn_at_it():
    from matplotlib.figure import Figure

    panel = Figure().subplots()
    gallery.show(panel, np.zeros((10, 10)))
    gallery.outline(panel, np.array([-5.0, 2.0, 3.0, 30.0]), "red")
    (box,) = panel.patches
    assert box.get_xy() == (-0.5, 1.5)
    assert (box.get_width(), box.get_height()) == (3, 8)


def test_the_command_line(run, pictures, tmp_path):
    runner, folder = typer.testing.CliRunner(), str(run.folder)
    gif, file = tmp_path / "painting.gif", tmp_path / "glyph.png"
    file.write_bytes(pictures[0])
    done = runner.invoke(
        cli, ["predict", "draw", folder, "--seed", "1..3", "--plot", str(gif)]
    )
    assert done.exit_code == 0, done.output
    with Image.open(gif) as animation:
        assert animation.n_frames == run.config.strokes + 1
    assert done.stdout.count("4 strokes") == 3
    words = ["predict", "draw", folder, str(file), "--signature", "reconstruct"]
    done = runner.invoke(cli, [*words, "--samples", "3"])
    assert done.exit_code == 0 and "nats" in done.stdout and "IWAE" in done.stdout
    done = runner.invoke(cli, ["predict", "draw", folder, "--seed", "1", "--json"])
    assert json.loads(done.stdout)["ok"]
    done = runner.invoke(cli, ["predict", "draw", folder, str(file)])
    assert "Expected --seed" in str(done.exception)
    done = runner.invoke(
        cli, ["predict", "draw", folder, "--seed", "1", "--plot", "painting.png"]
    )
    assert ".gif" in str(done.exception)


@pytest.mark.slow
def test_the_paper_preset_learns_in_its_first_steps(trained):
    """At its own size, of a few builtin pictures: 50 steps without a NaN, downhill."""
    config = dataclasses.replace(
        APP.Config(**PAPER),
        data="builtin",
        builtin_size=60,
        batch_size=4,
        steps=50,
        rounds=1,
        jit=False,
        learning_rate=3e-3,
    )
    task = APP.task_for(config)
    splits = task.read()
    task = task.learn(splits.train)
    before = task.bound().build_model()
    task.begin(before)
    start = task.evaluate(Answerer(task, before), splits.test, APP.Options())
    run = APP.train(config, out=trained.folder / "paper")
    assert run.model.get_layer("draw").reader.cell.units == 256
    assert run.metrics["nats"] < start["nats"]
