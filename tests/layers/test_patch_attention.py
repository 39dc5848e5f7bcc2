"""DRAW's layers: against NumPy, at their extremes, and what a layer must do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from saccade.layers import DRAW, DRAWCell, GaussianRead, GaussianWrite, Recurrent

from .helpers import check_gradients, normal, randomise, reload, sigmoid

HEIGHT, WIDTH, FILTERS = 7, 9, 3
EXTREME = [0.0, 1e-3, -1e-3, 5.0, -5.0, 1e4, -1e4, 1e30, -1e30]


def bank(centre, stride, variance, filters, size):
    """A filterbank as the paper writes it: exponentials, divided by their sums."""
    rows = []
    for i in range(filters):
        mean = centre + (i - filters / 2 + 0.5) * stride
        row = np.exp(-((np.arange(size) - mean) ** 2) / (2 * variance))
        rows.append(row / row.sum())
    return np.array(rows)


def banks(parameters, filters=FILTERS):
    """F_y, F_x and the intensity, by equations 21 to 26."""
    x, y, log_variance, log_stride, log_intensity = parameters
    g_x, g_y = (WIDTH + 1) / 2 * (x + 1) - 1, (HEIGHT + 1) / 2 * (y + 1) - 1
    stride = (max(HEIGHT, WIDTH) - 1) / (filters - 1) * np.exp(log_stride)
    variance = np.exp(log_variance)
    rows = bank(g_y, stride, variance, filters, HEIGHT)
    columns = bank(g_x, stride, variance, filters, WIDTH)
    return rows, columns, np.exp(log_intensity)


def test_reading_and_writing_are_the_papers_equations():
    parameters = 0.4 * normal(4, 5)
    pictures, patches = normal(4, HEIGHT, WIDTH, 2), normal(4, FILTERS, FILTERS, 2)
    read = np.array(GaussianRead(FILTERS)(pictures, parameters))
    written = np.array(GaussianWrite(HEIGHT, WIDTH)(patches, parameters))
    for i in range(4):
        rows, columns, intensity = banks(parameters[i].astype("float64"))
        for c in range(2):
            patch = intensity * rows @ pictures[i, :, :, c] @ columns.T
            np.testing.assert_allclose(read[i, :, :, c], patch, atol=1e-5)
            stroke = rows.T @ patches[i, :, :, c] @ columns / intensity
            np.testing.assert_allclose(written[i, :, :, c], stroke, atol=1e-5)


def test_what_is_written_sums_to_the_patch_and_is_read_back():
    patches = normal(5, FILTERS, FILTERS, 1)
    parameters = np.concatenate([3 * normal(5, 4), np.zeros((5, 1), "f4")], axis=1)
    written = GaussianWrite(HEIGHT, WIDTH)(patches, parameters)
    sums = [np.array(ops.sum(t, axis=(1, 2, 3))) for t in (written, patches)]
    np.testing.assert_allclose(*sums, atol=1e-5)
    # Filters of a pixel each, a pixel apart: nothing is lost on the way.
    stride = np.log((FILTERS - 1) / (WIDTH - 1))
    sharp = np.tile(np.array([[0, 0, -9, stride, 1.3]], "f4"), (5, 1))
    written = GaussianWrite(HEIGHT, WIDTH)(patches, sharp)
    np.testing.assert_allclose(
        GaussianRead(FILTERS)(written, sharp), patches, atol=1e-4
    )


def test_a_grid_beyond_the_border_reads_the_nearest_pixels():
    pictures = normal(1, HEIGHT, WIDTH, 1)
    far = np.array([[-3, 3, -6, -6, 0]], "f4")  # left of and below the picture
    corner = np.array(GaussianRead(FILTERS)(pictures, far))
    np.testing.assert_allclose(corner, np.full_like(corner, pictures[0, -1, 0, 0]))


@pytest.mark.parametrize("value", EXTREME)
@pytest.mark.parametrize("place", range(5))
def test_no_parameter_gives_a_nan(place, value):
    """Neither forwards nor backwards, however empty the filters are."""
    parameters = np.zeros((1, 5), "f4")
    parameters[0, place] = value
    parameters = tf.constant(parameters)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        read = GaussianRead(FILTERS)(normal(1, HEIGHT, WIDTH, 1), parameters)
        written = GaussianWrite(HEIGHT, WIDTH)(read, parameters)
    assert np.isfinite(written).all() and np.abs(written).max() > 0
    assert np.isfinite(tape.gradient(written, parameters)).all()


def test_gradients_of_reading_and_writing():
    read = GaussianRead(2, dtype="float64")
    write = GaussianWrite(5, 4, dtype="float64")
    mix = normal(2, 5, 4, 1, seed=3, dtype="float64")

    def function(tensors):
        pictures, parameters = tensors
        return tf.reduce_sum(mix * write(read(pictures, parameters), parameters))

    parameters = 0.3 * normal(2, 5, seed=1, dtype="float64")
    parameters[:, 4] = [1, -1]
    # What the intensity multiplies, writing divides by: let only reading have it.
    scaled = [normal(2, 5, 4, 1, dtype="float64"), parameters[:, :4]]

    def without(tensors):
        pictures, four = tensors
        return function([pictures, tf.concat([four, parameters[:, 4:]], axis=1)])

    check_gradients(without, scaled)


@pytest.mark.parametrize("size", [0, -1])
def test_errors_of_the_layers(size):
    with pytest.raises(ValueError, match="filters to be at least 1; received"):
        GaussianRead(size)
    with pytest.raises(ValueError, match="height to be at least 1; received"):
        GaussianWrite(size, 3)
    with pytest.raises(ValueError, match="`parameters` of shape .batch, 5.; received"):
        GaussianRead(3)(normal(2, 4, 4, 1), normal(2, 4))
    with pytest.raises(ValueError, match="`pictures` of shape .batch, height"):
        GaussianRead(3)(normal(2, 4, 4), normal(2, 5))
    with pytest.raises(ValueError, match="expected square patches"):
        GaussianWrite(4, 4)(normal(2, 3, 2, 1), normal(2, 5))
    with pytest.raises(ValueError, match=r"noise \(batch, steps, 4\)"):
        DRAW(3, 4)(normal(2, 6, 6), normal(2, 3, 5))
    with pytest.raises(ValueError, match=r"pictures \(batch, height, width\)"):
        DRAW(3, 4)(normal(2, 6, 6, 1), normal(2, 3, 4))


# The network

SIDE, STEPS, UNITS, LATENT = 6, 4, 5, 3
PICTURES = (np.random.default_rng(0).random((2, SIDE, SIDE)) > 0.6).astype("float32")
NOISE = normal(2, STEPS, LATENT, seed=4)
both = pytest.mark.parametrize("attention", [True, False])


def made(attention, scale=0.4, **options):
    layer = DRAW(UNITS, LATENT, 3, 2, attention, **options)
    layer(PICTURES, NOISE)
    return randomise(layer, scale=scale)


def by_hand(layer, pictures, noise):
    """The same in NumPy, a picture at a time, by the letters of `DRAWCell`."""
    cell = layer.reader.cell
    w = {v.path.split("/cell/")[-1]: v.numpy() for v in layer.weights}

    def lstm(name, x, h, c):
        z = x @ w[f"{name}/kernel"] + h @ w[f"{name}/recurrent_kernel"]
        i, f, g, o = np.split(z + w[f"{name}/bias"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def grid(p, filters):
        x, y = (SIDE + 1) / 2 * (p[0] + 1) - 1, (SIDE + 1) / 2 * (p[1] + 1) - 1
        stride = (SIDE - 1) / (filters - 1) * np.exp(p[3])
        banks = [bank(at, stride, np.exp(p[2]), filters, SIDE) for at in (y, x)]
        half = filters * stride / 2
        box = [x + 0.5 - half, y + 0.5 - half, x + 0.5 + half, y + 0.5 + half]
        return *banks, np.exp(p[4]), box

    results = []
    for x, draws in zip(pictures, noise, strict=True):
        h_e = c_e = h_d = c_d = np.zeros(UNITS)
        canvas = layer.first_canvas.numpy()
        kl, latents, read, canvases, write = [], [], [], [], []
        for e in draws:
            wrong, box = x - sigmoid(canvas), [0, 0, SIDE, SIDE]
            if cell.attention:
                p = h_d @ w["read_kernel"] + w["read_bias"]
                rows, columns, intensity, box = grid(p, 3)
                patches = [intensity * rows @ t @ columns.T for t in (x, wrong)]
                glimpse = np.stack(patches, axis=1).ravel()
            else:
                glimpse = np.concatenate([x.ravel(), wrong.ravel()])
            read.append(box)
            h_e, c_e = lstm("encoder", np.concatenate([glimpse, h_d]), h_e, c_e)
            moments = h_e @ w["posterior_kernel"] + w["posterior_bias"]
            mean, log_s = np.split(moments, 2)
            z = mean + np.exp(log_s) * e
            kl.append((mean**2 + np.exp(2 * log_s) - 2 * log_s - 1).sum() / 2)
            latents.append(z)
            h_d, c_d = lstm("decoder", z, h_d, c_d)
            out, box = h_d @ w["write_kernel"] + w["write_bias"], [0, 0, SIDE, SIDE]
            if cell.attention:
                rows, columns, intensity, box = grid(out[:5], 2)
                out = rows.T @ out[5:].reshape(2, 2) @ columns / intensity
            canvas = canvas + out.reshape(SIDE, SIDE)
            canvases.append(canvas)
            write.append(box)
        results.append((kl, latents, read, canvases, write))
    return [np.array(parts) for parts in zip(*results, strict=True)]


@both
def test_draw_is_the_papers_equations(attention):
    layer = made(attention)
    seen = layer(PICTURES, NOISE)
    painted = layer.paint(seen["latents"])
    kl, latents, read, canvases, write = by_hand(layer, PICTURES, NOISE)
    np.testing.assert_allclose(seen["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(seen["latents"], latents, atol=1e-4)
    np.testing.assert_allclose(seen["read_windows"], read, atol=1e-4)
    np.testing.assert_allclose(seen["canvas"], canvases[:, -1], atol=1e-4)
    np.testing.assert_allclose(painted["canvases"], canvases, atol=1e-4)
    np.testing.assert_allclose(painted["write_windows"], write, atol=1e-4)


def test_kl_is_that_of_the_closed_form_and_zero_where_nothing_is_said():
    """4.5 nats where a latent is three from the middle; none where it is the prior."""
    from saccade.layers.patch_attention import divergence

    means = np.array([[0.0, 0.0], [3.0, 0.0]], "f4")
    np.testing.assert_allclose(divergence(means, 0 * means), [0, 4.5])
    scales = np.log(np.array([[2.0, 1.0]], "f4"))
    expected = (4 - 2 * np.log(2) - 1) / 2
    np.testing.assert_allclose(divergence(0 * scales, scales), [expected], rtol=1e-6)


@both
def test_gradients_of_the_whole_network(attention):
    layer = DRAW(2, 2, 2, 2, attention, dtype="float64")
    pictures = PICTURES[:1, :4, :4].astype("float64")
    noise = normal(1, 3, 2, dtype="float64")
    layer(pictures, noise)
    # All pixels at once would shut the gates.
    randomise(layer, scale=0.5 if attention else 0.25)
    weights = [w.numpy() for w in layer.trainable_weights]
    rest = [w.value for w in layer.non_trainable_variables]

    def function(tensors):
        seen, _ = layer.stateless_call(tensors, rest, pictures, noise, training=True)
        painted = tf.reduce_sum(ops.softplus(seen["canvas"]))
        return 20 * (painted + tf.reduce_sum(seen["kl"]))

    check_gradients(function, weights, tolerance=2e-5)


@both
def test_fast_and_slow_loop_have_the_same_gradients(attention):
    fast, slow = made(attention), made(attention, fast=False)

    def gradients(layer):
        with tf.GradientTape() as tape:
            seen = layer(PICTURES, NOISE, training=True)
            loss = tf.reduce_sum(seen["canvas"] ** 2) + tf.reduce_sum(seen["kl"])
        return tape.gradient(loss, layer.trainable_weights)

    for a, b in zip(gradients(fast), gradients(slow), strict=True):
        assert np.abs(b).max() > 1e-4
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_states_that_are_one_tensor_are_told_apart():
    """The loop's own gradient finds operands by identity; equal zeros are no one."""
    found = []
    for apart in (True, False):
        keras.utils.set_random_seed(0)
        layer = Recurrent(DRAWCell(4, 4, 3, 2, 2, 2))
        zeros = [tf.zeros((2, 3)) for _ in range(4)]
        start = [*(zeros if apart else [zeros[0]] * 4), tf.zeros((2, 16))]
        memory = tf.reshape(PICTURES[:, :4, :4], (2, 16))
        with tf.GradientTape() as tape:
            out = layer(
                NOISE[:, :, :2], initial_state=start, memory=memory, training=True
            )
            loss = tf.reduce_sum(out**2)
        found.append(tape.gradient(loss, layer.trainable_weights))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@both
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_under_xla_and_mixed_precision(attention, policy):
    layer = made(attention, dtype=policy, scale=0.2)
    plain = layer(PICTURES, NOISE)
    compiled = tf.function(lambda *args: layer(*args), jit_compile=True)(
        PICTURES, NOISE
    )
    assert plain["canvas"].dtype == layer.compute_dtype
    assert plain["kl"].dtype == "float32"
    loose = {"float32": 1e-4, "mixed_float16": 2e-2, "mixed_bfloat16": 0.2}[policy]
    full = made(attention, scale=0.2)(PICTURES, NOISE)
    for name in ("canvas", "kl"):
        values = [tf.cast(r[name], tf.float32) for r in (plain, compiled, full)]
        np.testing.assert_allclose(values[0], values[1], atol=loose)
        np.testing.assert_allclose(values[0], values[2], atol=5 * loose)


@both
def test_saving_and_training(attention, tmp_path):
    image = keras.Input((SIDE, SIDE))
    noise = keras.Input((STEPS, LATENT))
    seen = DRAW(UNITS, LATENT, 3, 2, attention, name="draw")(image, noise)
    model = keras.Model([image, noise], {k: seen[k] for k in ("canvas", "kl")})
    loaded = reload(model, tmp_path)
    inputs = [PICTURES, NOISE]
    np.testing.assert_array_equal(loaded(inputs)["canvas"], model(inputs)["canvas"])
    painted = [m.get_layer("draw").paint(NOISE)["canvases"] for m in (model, loaded)]
    np.testing.assert_array_equal(*painted)
    assert len(model.weights) == len(loaded.weights) == (13 if attention else 11)
    before = [w.numpy() for w in model.trainable_weights]
    model.compile("adam", {"canvas": "mse", "kl": "mse"}, jit_compile=True)
    targets = {"canvas": 5 * PICTURES, "kl": np.zeros((2, STEPS), "f4")}
    model.fit(inputs, targets, verbose=0)
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert not np.allclose(old, weight.numpy(), atol=1e-7), weight.path


def test_a_first_canvas_is_where_painting_begins():
    layer = made(True)
    for weight in layer.trainable_weights:
        if "write" in weight.name:
            weight.assign(tf.zeros_like(weight))
    canvases = layer.paint(NOISE)["canvases"]
    for t in range(STEPS):
        np.testing.assert_allclose(canvases[0, t], layer.first_canvas)
