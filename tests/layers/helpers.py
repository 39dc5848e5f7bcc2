"""What the layer tests share: random numbers, NumPy loops, gradients, round trips."""

import keras
import numpy as np
import tensorflow as tf

BATCH, TIME, FEATURES, UNITS = 4, 5, 3, 4

# One row of each troublesome kind: True where the step is real.
MASKS = {
    "none": None,
    "padded": np.array(
        [
            [1, 1, 1, 0, 0],  # at the right
            [0, 0, 1, 1, 1],  # at the left
            [0, 1, 0, 0, 1],  # holes
            [0, 0, 0, 0, 0],  # a row without any step
        ],
        bool,
    ),
}


def normal(*shape, seed=0, dtype="float32"):
    """Random numbers that are the same in every run."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def randomise(layer, seed=1, scale=0.7):
    """Give every trainable weight random values: equal ones hide swapped gates."""
    draw = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(scale * draw.standard_normal(weight.shape))
    return layer


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def weights_of(layer):
    """The layer's weights as NumPy arrays, by their short names."""
    return {w.name: w.numpy() for w in layer.weights if "seed" not in w.name}


def run_numpy(step, x, states, mask=None, go_backwards=False, zero_output=False):
    """Repeat `step(x_t, states) -> states` over x (batch, time, features).

    The output is the first state. A masked step keeps the states and repeats the
    output before it, which is zeros where there is none.
    Returns outputs (batch, time, units) and the last states.
    """
    steps = np.arange(x.shape[1])
    if go_backwards:
        steps = steps[::-1]
    outputs, output = [], np.zeros_like(states[0])
    for t in steps:
        stepped = step(x[:, t], states)
        real = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        output = np.where(real, stepped[0], 0 if zero_output else output)
        states = [
            np.where(real, new, old) for new, old in zip(stepped, states, strict=True)
        ]
        outputs.append(output)
    return np.stack(outputs, axis=1), states


def check_gradients(function, tensors, step=1e-5, tolerance=1e-7):
    """Compare gradients with central differences.

    function: list of float64 tensors -> scalar tensor, traced once.
    tensors: the NumPy arrays at which to compare.
    """

    @tf.function
    def value_and_gradients(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(list(tensors))
        return value, tape.gradient(value, tensors)

    def value(*tensors):
        return float(value_and_gradients(*tensors)[0])

    tensors = [tf.constant(t, tf.float64) for t in tensors]
    gradients = value_and_gradients(*tensors)[1]
    for place, tensor in enumerate(tensors):
        numeric = np.zeros(tensor.shape)
        for index in np.ndindex(*tensor.shape):
            shift = np.zeros(tensor.shape)
            shift[index] = step
            up, down = list(tensors), list(tensors)
            up[place], down[place] = tensor + shift, tensor - shift
            numeric[index] = (value(*up) - value(*down)) / (2 * step)
        assert np.abs(numeric).max() > 1e-3, f"tensor {place} does not matter"
        np.testing.assert_allclose(gradients[place], numeric, atol=tolerance)


def check_layer_gradients(layer, x, states, **call):
    """`check_gradients` for inputs, all weights and the initial state of a recurrent
    layer that was built in float64 with return_sequences and return_state."""
    weights = [w.numpy() for w in layer.trainable_weights]
    rest = [w.value for w in layer.non_trainable_variables]
    mix = [normal(*x.shape[:2], layer.units, seed=8, dtype="float64")]
    mix += [normal(*s.shape, seed=9 + i, dtype="float64") for i, s in enumerate(states)]

    def function(tensors):
        inputs, tensors = tensors[0], tensors[1:]
        start, values = tensors[: len(states)], tensors[len(states) :]
        results, _ = layer.stateless_call(
            values, rest, inputs, initial_state=start, **call
        )
        return sum(tf.reduce_sum(r * m) for r, m in zip(results, mix, strict=True))

    check_gradients(function, [x, *states, *weights])


def reload(model, tmp_path):
    """The model after a trip through a `.keras` file."""
    path = tmp_path / "model.keras"
    model.save(path)
    return keras.models.load_model(path)


def reload_export(model, tmp_path, signature):
    """The model's SavedModel, read back by TensorFlow alone: call its `serve`."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", _takes_inputs(model), signature)
    archive.write_out(tmp_path / "export", verbose=False)
    return tf.saved_model.load(str(tmp_path / "export"))


def _takes_inputs(model):
    if len(model.inputs) == 1:
        return lambda inputs: model(inputs)
    return lambda *inputs: model(list(inputs))


def fit_moves_all(model, inputs, jit):
    """One epoch of two batches: the loss is finite and every weight moves."""
    output = model(inputs)
    targets = tf.nest.map_structure(lambda o: normal(*o.shape, seed=5), output)
    before = [w.numpy() for w in model.trainable_weights]
    model.compile("adam", "mse", jit_compile=jit)
    history = model.fit(inputs, targets, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert not np.allclose(old, weight.numpy(), atol=1e-7), (
            f"{weight.path} did not move"
        )
