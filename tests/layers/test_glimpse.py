"""Glimpses: sensor and loop beside NumPy, and what no gradient passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    ElmanCell,
    GlimpseCell,
    GlimpseRNN,
    GlimpseSensor,
    LSTMCell,
)
from saccade.layers.reinforce import gaussian_log_prob, policy_loss

from .helpers import check_gradients, normal, randomise, reload, reload_export, sigmoid

STD = 0.3


def cut_out(picture, x, y, size, factor):
    """What lies size * factor pixels a side around the whole pixel corner (x, y), 0
    outside, and means of factor * factor pixels of it."""
    side = size * factor
    padded = np.pad(picture, ((99, 99), (99, 99), (0, 0)))
    left, top = x + 99 - side // 2, y + 99 - side // 2
    cut = padded[top : top + side, left : left + side]
    return cut.reshape(size, factor, size, factor, -1).mean((1, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size, scales, factor", [(4, 1, 2), (4, 3, 2), (2, 2, 3)])
def test_at_whole_pixels_the_sensor_cuts_out(channels, size, scales, factor):
    height, width = 9, 12
    images = normal(5, height, width, channels)
    corners = [(6, 4), (0, 0), (12, 9), (3, 8), (11, 1)]  # also at and over the edge
    locations = [(2 * x / width - 1, 2 * y / height - 1) for x, y in corners]
    patches = GlimpseSensor(size, scales, factor)(images, np.array(locations))
    for row, (x, y) in enumerate(corners):
        for scale in range(scales):
            expected = cut_out(images[row], x, y, size, factor**scale)
            np.testing.assert_allclose(patches[row, scale], expected, atol=1e-5)


def test_x_is_to_the_right_and_y_downwards():
    image = np.zeros((1, 8, 8, 1), "float32")
    image[0, 0:2, 6:8] = 1  # above, right
    sensor, places = GlimpseSensor(2), np.array([[[0.75, -0.75]], [[-0.75, 0.75]]])
    seen = [float(np.sum(sensor(image, place))) for place in places]
    assert seen == [4.0, 0.0]


def test_between_pixels_it_interpolates():
    image = np.arange(8, dtype="float32").reshape(1, 1, 8, 1) + np.zeros((1, 8, 1, 1))
    quarter = 2 * 0.25 / 8  # of a pixel to the right
    patch = GlimpseSensor(2)(image, np.array([[quarter, 0.0]]))
    np.testing.assert_allclose(patch[0, 0, :, :, 0], [[3.25, 4.25]] * 2, atol=1e-6)


def test_far_outside_nothing_is_seen():
    far = np.array([[9.0, 0.0], [0.0, -9.0]])
    patches = GlimpseSensor(4, 2)(np.ones((2, 8, 8, 1)), far)
    assert not np.any(patches)


@pytest.mark.parametrize("channels", [1, 2])
def test_gradients_reach_picture_and_location(channels):
    sensor = GlimpseSensor(2, 2, dtype="float64")
    images = normal(2, 5, 6, channels, dtype="float64")
    locations = np.array([[0.11, -0.23], [0.47, 0.83]])
    mix = normal(2, 2, 2, 2, channels, seed=3, dtype="float64")
    check_gradients(
        lambda tensors: tf.reduce_sum(sensor(*tensors) * mix), [images, locations]
    )


def test_none_does_where_it_is_not_differentiable():
    sensor = GlimpseSensor(2, differentiable=False)
    images, locations = tf.constant(normal(2, 5, 6, 1)), tf.zeros([2, 2])
    with tf.GradientTape() as tape:
        tape.watch([images, locations])
        total = tf.reduce_sum(sensor(images, locations))
    assert tape.gradient(total, [images, locations]) == [None, None]


@pytest.mark.parametrize("options", [{"size": 0}, {"scales": 1.5}, {"factor": -1}])
def test_what_is_no_positive_integer_is_refused(options):
    with pytest.raises(ValueError, match="a positive integer, received"):
        GlimpseSensor(**options)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match=r"images \(batch, height, width, channels\)"):
        GlimpseSensor()(np.zeros((2, 8, 8)), np.zeros((2, 2)))


# The loop


def made(
    policy="learned",
    cell=None,
    dtype=None,
    scales=2,
    glimpses=4,
    filters=0,
    **sensor,
):
    """A GlimpseRNN with random weights."""
    inner = cell or ElmanCell(6, activation="relu", dtype=dtype)
    sensor = GlimpseSensor(8 if filters else 3, scales, dtype=dtype, **sensor)
    cell = GlimpseCell(inner, sensor, 5, 7, STD, policy, filters, dtype=dtype)
    layer = GlimpseRNN(cell, glimpses, seed=1, dtype=dtype)
    layer(np.zeros((1, 10, 9, 1)))
    return randomise(layer, scale=0.5)


def by_numpy(layer, images, noise, start, cell_step):
    """The equations of GlimpseCell, one glimpse after the other."""
    weights = {w.name: w.numpy() for w in layer.cell.weights}
    weights |= {f"b_{w.name}": w.numpy() for w in layer.baseline.weights}

    def dense(name, x):
        return x @ weights[f"{name}_kernel"] + weights[f"{name}_bias"]

    def relu(x):
        return np.maximum(x, 0)

    location, states = start, None
    names = ("outputs", "locations", "log_probs", "pre_means", "baselines")
    results = {name: [] for name in names}
    for t in range(layer.glimpses):
        patch = layer.cell.sensor(images, location)
        if layer.cell.filters:
            patch = convolved(patch, weights)
        patch = np.array(patch).reshape(len(images), -1)
        what, where = relu(dense("what", patch)), relu(dense("where", location))
        seen = relu(dense("glimpse", np.concatenate([what, where], axis=1)))
        h, states = cell_step(weights, seen, states)
        z = dense("mean", relu(dense("locator", h)))
        mean = np.tanh(z)
        sample = mean + STD * noise[:, t]
        log_prob = -0.5 * noise[:, t] ** 2 - np.log(STD * np.sqrt(2 * np.pi))
        last = t == layer.glimpses - 1
        results["outputs"].append(h)
        results["locations"].append(location)
        results["log_probs"].append(0 * log_prob[:, 0] if last else log_prob.sum(1))
        results["pre_means"].append(z)
        results["baselines"].append((h @ weights["b_kernel"] + weights["b_bias"])[:, 0])
        location = np.clip(sample, -1, 1)
    return {name: np.stack(steps, axis=1) for name, steps in results.items()}


def convolved(patches, weights):
    """By Keras' layer, which has the picture's axes and the filters where ours has."""
    batch, scales, size, _, channels = patches.shape
    filters = weights["convolution_kernel"].shape[-1]
    keras_layer = keras.layers.Conv2D(filters, 5, strides=2, activation="relu")
    keras_layer.build((None, size, size, channels))
    kernel = weights["convolution_kernel"].reshape(5, 5, channels, filters)
    keras_layer.set_weights([kernel, weights["convolution_bias"]])
    flat = np.reshape(patches, (batch * scales, size, size, channels))
    return keras_layer(flat)


def elman(weights, x, states):
    h = np.zeros((len(x), 6)) if states is None else states
    z = x @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights["bias"]
    return np.maximum(z, 0), np.maximum(z, 0)


def lstm(weights, x, states):
    h, c = (np.zeros((len(x), 6)),) * 2 if states is None else states
    z = x @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights["bias"]
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


@pytest.mark.parametrize(
    "cell, step, filters", [(None, elman, 0), (LSTMCell, lstm, 0), (None, elman, 3)]
)
def test_the_loop_follows_its_equations(cell, step, filters):
    layer = made(cell=cell and cell(6), filters=filters)
    images, noise = normal(3, 10, 9, 1), normal(3, 4, 2, seed=2)
    start = np.array([[0, 0], [0.5, -0.5], [-1, 1]], "float32")
    expected = by_numpy(layer, images, noise, start, step)
    results = layer(images, noise=noise, start=start)
    assert set(results) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(results[name], values, atol=2e-5, err_msg=name)


def test_without_noise_it_looks_at_the_means_and_begins_in_the_middle():
    layer, images = made(), normal(3, 10, 9, 1)
    results = layer(images)
    expected = by_numpy(layer, images, np.zeros((3, 4, 2)), np.zeros((3, 2)), elman)
    np.testing.assert_allclose(results["locations"], expected["locations"], atol=2e-5)
    assert not np.any(results["locations"][:, 0])


def test_in_training_it_draws_and_never_the_same_twice():
    layer, images = made(), normal(3, 10, 9, 1)
    first, second = (np.array(layer(images, training=True)["locations"]) for _ in "ab")
    assert not np.any(first[:, 0]) and np.all(first[:, 1:] != second[:, 1:])
    assert np.abs(first).max() <= 1


def test_a_training_may_draw_less_widely_from_step_to_step():
    layer, images, noise = made(), normal(3, 10, 9, 1), normal(3, 4, 2, seed=2)
    assert not layer.std.trainable
    np.testing.assert_allclose(layer.std, STD)
    narrow = layer(images, noise=noise / 4)["locations"]
    layer.std.assign(STD / 4)
    results = layer(images, noise=noise)
    np.testing.assert_allclose(results["locations"], narrow, atol=1e-6)
    chosen = -0.5 * np.square(noise).sum(-1) - 2 * np.log(STD / 4 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(results["log_probs"][:, :-1], chosen[:, :-1], rtol=1e-4)
    assert not np.any(results["log_probs"][:, -1])


def test_the_policies_to_compare_with():
    images, noise = normal(400, 10, 9, 1), normal(400, 4, 2, seed=2)
    places = np.array(made("random")(images, noise=noise)["locations"])[:, 1:]
    shares = np.histogram(places, 4, (-1, 1))[0] / places.size
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    for results in (
        made("centre")(images[:3], noise=noise[:3]),
        made("centre")(images[:3], training=True),
    ):
        assert not np.any(results["locations"]) and not np.any(results["log_probs"])
    assert not any("locator" in w.name for w in made("centre").weights)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "name, trained",
    [
        ("outputs", {"what", "where", "glimpse", "cell"}),
        ("log_probs", {"locator", "mean"}),
        ("pre_means", {"locator", "mean"}),
        ("baselines", {"baseline"}),
    ],
)
def test_no_gradient_passes_where_it_must_not(name, trained, fast):
    """Not through the location into the locator, not from the locator or from the
    baseline into the core."""
    layer = made()
    layer.loop.fast = fast
    with tf.GradientTape(persistent=True) as tape:
        results = layer(normal(3, 10, 9, 1), training=True)
        total = tf.reduce_sum(results[name] * normal(*results[name].shape, seed=3))
    reached = set()
    parts = {"cell": layer.cell.cell.weights, "baseline": layer.baseline.weights}
    for weight in layer.trainable_weights:
        owners = [part for part in parts if any(w is weight for w in parts[part])]
        (part,) = owners or [weight.name.split("_")[0]]
        gradient = tape.gradient(total, weight)
        if gradient is not None and np.any(gradient):
            reached.add(part)
    assert reached == trained


def test_the_sample_has_no_gradient():
    """Else the gradient of log p would be 0: sample and mean move together."""
    layer, noise = made(glimpses=2), normal(3, 2, 2, seed=2)
    bias = next(w for w in layer.weights if w.name == "mean_bias")
    with tf.GradientTape() as tape:
        results = layer(normal(3, 10, 9, 1), noise=noise, training=True)
        total = tf.reduce_sum(results["log_probs"])
    means = np.array(layer(normal(3, 10, 9, 1))["locations"])[:, 1]
    # d log p / d mean = noise / std, and the slope of tanh is 1 - mean².
    expected = np.sum(noise[:, 0] / STD * (1 - means**2), axis=0)
    np.testing.assert_allclose(tape.gradient(total, bias), expected, rtol=1e-4)


@pytest.mark.parametrize("filters", [0, 3])
@pytest.mark.parametrize("differentiable", [True, False])
def test_the_fast_loop_gives_the_same_gradients(filters, differentiable):
    layer = made(filters=filters, differentiable=differentiable)
    images, noise = normal(3, 10, 9, 1), normal(3, 4, 2, seed=2)
    mixes = {}

    def gradients(fast):
        layer.loop.fast = fast
        with tf.GradientTape() as tape:
            results = layer(images, noise=noise, training=True)
            total = 0
            for i, (name, values) in enumerate(results.items()):
                mix = mixes.setdefault(name, normal(*values.shape, seed=9 + i))
                total += tf.reduce_sum(values * mix)
        return tape.gradient(total, layer.trainable_weights)

    for ours, theirs in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("filters", [0, 3])
def test_a_picture_behind_other_layers_gets_a_gradient(filters):
    layer = made(filters=filters, differentiable=True)
    images = tf.constant(normal(2, 10, 9, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(layer(images, training=True)["outputs"] ** 2)
    assert np.any(tape.gradient(total, images))


@pytest.mark.parametrize("filters", [0, 3])
def test_xla_gives_the_same_numbers_and_gradients(filters):
    layer = made(filters=filters)
    images, noise = normal(3, 10, 9, 1), normal(3, 4, 2, seed=2)

    def run(images, noise):
        with tf.GradientTape() as tape:
            results = layer(images, noise=noise, training=True)
            total = sum(tf.reduce_sum(r) for r in results.values())
        return results, tape.gradient(total, layer.trainable_weights)

    plain = tf.function(run, autograph=False)(images, noise)
    compiled = tf.function(run, autograph=False, jit_compile=True)(images, noise)
    for ours, theirs in zip(*map(tf.nest.flatten, (compiled, plain)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("filters", [0, 3])
def test_dtypes(policy, filters):
    layer = made(dtype=policy, filters=filters)
    with tf.GradientTape() as tape:
        results = layer(normal(3, 10, 9, 1), training=True)
        total = sum(tf.reduce_sum(tf.cast(r, "float32")) for r in results.values())
    assert results["outputs"].dtype == layer.compute_dtype
    assert results["log_probs"].dtype == results["baselines"].dtype == "float32"
    for gradient in tape.gradient(total, layer.trainable_weights):
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("filters", [0, 3])
def test_no_rows(filters):
    results = made(filters=filters)(np.zeros((0, 10, 9, 1), "float32"))
    assert results["outputs"].shape == (0, 4, 6)
    assert results["locations"].shape == (0, 4, 2)


def as_model(layer):
    image = keras.Input((10, 9, 1))
    return keras.Model(image, layer(image))


def test_saving_and_exporting(tmp_path):
    layer = made(cell=LSTMCell(6), filters=3)
    model, images = as_model(layer), normal(3, 10, 9, 1)
    expected = model(images)
    signature = [tf.TensorSpec([None, 10, 9, 1])]
    again = reload(model, tmp_path)(images)
    export = reload_export(model, tmp_path, signature)
    served = export.serve(images)
    for name, values in expected.items():
        np.testing.assert_allclose(again[name], values, atol=1e-6)
        np.testing.assert_allclose(served[name], values, atol=1e-5)
    assert {k: v.shape for k, v in model.output.items()} == {
        k: (None, *v.shape[1:]) for k, v in expected.items()
    }


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: made("best"), "`policy` one of"),
        (lambda: GlimpseCell(ElmanCell(2), GlimpseSensor(), std=0), "`std` above 0"),
        (
            lambda: GlimpseRNN(GlimpseCell(ElmanCell(2), GlimpseSensor()), 0),
            "`glimpses` a positive integer",
        ),
        (lambda: made()(np.zeros((2, 10, 9))), "images"),
        (lambda: made(filters=-1), "`filters` an integer from 0"),
        (
            lambda: GlimpseCell(ElmanCell(2), GlimpseSensor(4), filters=8),
            "5 x 5 at least.*size=4",
        ),
    ],
)
def test_errors_say_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# The loss


def test_policy_loss_trains_the_draw_alone():
    log_probs = tf.constant([[0.5, -1.0]])
    rewards, baselines = tf.constant([[2.0]]), tf.constant([[0.5, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch([log_probs, rewards, baselines])
        loss = policy_loss(log_probs, rewards, baselines)
    np.testing.assert_allclose(loss, [[-0.75, -1.0]])
    found = tape.gradient(loss, [log_probs, rewards, baselines])
    np.testing.assert_allclose(found[0], [[-1.5, 1.0]])
    assert found[1:] == [None, None]


def test_its_mean_is_the_gradient_of_the_expected_reward():
    """E[-(l - 0.7)²] of l ~ N(mean, std²) has the slope -2 (mean - 0.7)."""
    mean, std, noise = tf.Variable([[0.2]]), 0.3, normal(200_000, 1)
    with tf.GradientTape() as tape:
        sample = tf.stop_gradient(mean + std * noise)
        log_probs = gaussian_log_prob(sample, mean + 0 * noise, std)
        rewards = -((sample[:, 0] - 0.7) ** 2)
        loss = tf.reduce_mean(policy_loss(log_probs, rewards, -0.3))
    np.testing.assert_allclose(tape.gradient(loss, mean), [[-1.0]], atol=0.02)
