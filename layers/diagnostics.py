"""Where gradients vanish, explode or get clipped: what to measure before guessing.

A recurrent layer is s[t] = step(x[t], s[t-1]), where s is all its states side by side
(for the LSTM: h and c). The chain rule leads from the last state back to state t:

    d s[T] / d s[t] = J[T] J[T-1] ... J[t+1],      J[t] = d s[t] / d s[t-1]

A gradient that comes from step T reaches step t through this product. Where all J
shrink, it vanishes exponentially with T - t; where they stretch, it explodes (Bengio,
Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063).

    step_jacobians   the matrices J[t]
    step_gains       how much each step can stretch a gradient: the norm of J[t]
    gradient_flow    how much arrives from the end: the norm of d s[T] / d s[t]
    gradient_norms   the norm of a model's gradients, batch by batch
    clipped_share    for which share of them `global_clipnorm` would act

Norms of matrices are spectral: the largest singular value, which is the factor for
the gradient that fares best.

What holds a gradient, or lets it go, are a layer's gates. A trained one is mostly open
or shut (Karpathy, Johnson & Fei-Fei 2015, arXiv:1506.02078, section 4.2):

    gates            every gate at every step
    saturation       the share of a gate's values that are nearly 0, or nearly 1

`gates` and `saturation` run on every backend, the others on TensorFlow only.
"""

import keras
import numpy as np
from keras import ops, tree

from .cells import cast_all, has_gates
from .masks import as_column, at_least_one_step, expect_mask
from .recurrent import Recurrent
from .stacked import Stacked


def step_jacobians(
    layer, sequences, initial_state=None, mask=None, memory=None, memory_mask=None
):
    """J[t] = d s[t] / d s[t-1] of every step, without dropout.

    Args:
        layer: a Recurrent layer (Elman, GRU, LSTM, ...) or a Stacked; a new one is
            built first. The state of a Stacked is that of all its levels, from the
            lowest to the highest, and its step is one step of all of them. A
            Bidirectional has no such step: take its `forward_layer` and its
            `backward_layer`, one at a time.
        sequences: `(batch, time, features)`.
        initial_state: list of `(batch, size)`; the layer's own where it is None.
        mask: bool `(batch, time)` or None; a step with False leaves the state as it
            is, so that its J is the identity.
        memory, memory_mask: as in a call of the layer.

    Returns:
        float64 `(batch, time, size, size)`, where size is that of all states
        together, in the layer's order: `[:, :, i, j]` is the derivative of number i
        after a step with respect to number j before it. The first step stands
        first; with `go_backwards` that is the one on the last input.
    """
    tf = _tensorflow("step_jacobians")
    sequences = _sequences("step_jacobians", layer, sequences)
    given = {}
    if memory is not None:
        given = {"memory": ops.convert_to_tensor(memory), "memory_mask": memory_mask}
    if not layer.built:
        layer(sequences, **given)
    if initial_state is None and hasattr(layer, "initial_state_from"):
        initial_state = layer.initial_state_from(**given)
    elif initial_state is None:
        initial_state = layer.get_initial_state(sequences.shape[0])
    states = [
        ops.convert_to_tensor(state, dtype=layer.compute_dtype)
        for state in tree.flatten(initial_state)
    ]

    # Every sequence stands here `size` times: copy i gives row i of its Jacobian, and
    # one gradient gives all rows.
    sizes = _sizes(layer)
    size = sum(sizes)
    prepared = None
    if given:
        copies = [m if m is None else np.repeat(m, size, 0) for m in given.values()]
        prepared = layer.prepare_memory(*copies)

    @tf.function
    def step_and_jacobian(x, s):
        x, copies = tf.repeat(x, size, axis=0), tf.repeat(s, size, axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(copies)
            states = tf.split(copies, sizes, axis=-1)
            states = tree.pack_sequence_as(initial_state, states)
            _, states = layer.step(x, states, prepared)
            after = tf.concat(tree.flatten(states), axis=-1)
        row = tf.tile(tf.eye(size, dtype=s.dtype), [tf.shape(s)[0], 1])
        rows = tape.gradient(after, copies, row)
        return after[::size], tf.reshape(rows, [-1, size, size])

    s = tf.concat(states, axis=-1)
    times = range(sequences.shape[1])
    jacobians = []
    for t in reversed(times) if layer.go_backwards else times:
        after, jacobian = step_and_jacobian(sequences[:, t], s)
        jacobian = jacobian.numpy().astype("float64")
        if mask is not None:
            real = np.asarray(mask, bool)[:, t, None]
            after = tf.where(real, after, s)
            jacobian = np.where(real[:, :, None], jacobian, np.eye(size))
        jacobians.append(jacobian)
        s = after
    if not jacobians:
        return np.zeros((sequences.shape[0], 0, size, size))
    return np.stack(jacobians, axis=1)


def step_gains(layer, sequences, **call):
    """The spectral norm of d h[t] / d h[t-1] for every step, and of d c[t] / d c[t-1].

    Takes the arguments of `step_jacobians`. In a layer with one state, gradients must
    vanish where every gain is below 1, and can explode only where some are above.

    Returns:
        list with one array `(batch, time)` per state of the layer, of the diagonal
        blocks of J: each state by itself, the others held fixed.
    """
    return _norms(step_jacobians(layer, sequences, **call), _sizes(layer))


def gradient_flow(layer, sequences, **call):
    """The spectral norm of d h[T] / d h[t], and of d c[T] / d c[t], for t = 0 .. T-1.

    Takes the arguments of `step_jacobians`. h[0] is the initial state, h[t] the state
    after t steps, h[T] the last one. A state's derivative counts all ways from step t
    to step T (for the LSTM also those from c through h back to c), but holds the
    other states of step t fixed.

    Returns:
        list with one array `(batch, T)` per state of the layer: for the LSTM those of
        h and of c, for a Stacked those of every level. The mean over the first axis
        makes a good curve.

    Example:
        >>> x = np.zeros((2, 9, 3), "float32")
        >>> [norms.shape for norms in gradient_flow(LSTM(4), x)]
        [(2, 9), (2, 9)]
    """
    jacobians = step_jacobians(layer, sequences, **call)
    product, flow = np.eye(jacobians.shape[-1]), np.empty_like(jacobians)
    for t in reversed(range(jacobians.shape[1])):
        product = product @ jacobians[:, t]  # J[T] ... J[t+1]
        flow[:, t] = product
    return _norms(flow, _sizes(layer))


def gradient_norms(model, batches, train=False):
    """The loss and the global L2 norm of the gradients, batch by batch.

    The norm is that of all gradients as one vector, before any clipping, which is
    what `global_clipnorm` of a Keras optimizer compares with its threshold:

        norm = sqrt(sum over all weights of sum(gradient ** 2))

    (Where one batch reads a row of an Embedding twice, Keras squares the two gradients
    before it adds them, and so clips by a norm that is not quite this one.)

    Args:
        model: a compiled model whose `fit` minimises its compiled loss.
        batches: what `fit` would take apart: an iterable of `(x, y)` or
            `(x, y, sample_weight)`, a `tf.data.Dataset` for instance.
        train: False only measures, with the weights as they are; True also lets the
            model's optimizer take a step on each batch, clipping where it is set to.
            In both the model is called as in training: dropout acts, and the moving
            averages of a BatchNormalization move.

    Returns:
        losses, norms: float64 `(batches,)` each.

    Example:
        losses, norms = gradient_norms(model, data.take(100))
        clipped_share(norms, global_clipnorm=1.0)
    """
    tf = _tensorflow("gradient_norms")
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "gradient_norms expected a compiled model; received one without an "
            "optimizer. Call model.compile(optimizer, loss) first."
        )
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def run(batch):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        weights = model.trainable_weights
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = optimizer.scale_loss(loss)  # which float16 needs
        gradients = tape.gradient(scaled, [w.value for w in weights])
        # Rows of an embedding that occur twice must be added before they are squared.
        dense = [tf.convert_to_tensor(g) for g in gradients if g is not None]
        scale = tf.cast(optimizer.scale_loss(tf.ones([])), "float32")
        norm = tf.linalg.global_norm([tf.cast(g, "float32") / scale for g in dense])
        if train:
            optimizer.apply(gradients, weights)
        return loss, norm

    pairs = [[float(number) for number in run(batch)] for batch in batches]
    losses, norms = np.array(pairs, "float64").reshape(-1, 2).T
    return losses, norms


def clipped_share(norms, global_clipnorm):
    """For which share of the norms clipping would act: those above the threshold.

    A norm that is not a number counts as above: that step has already diverged.

    Args:
        norms: `(steps,)`, from `gradient_norms`.
        global_clipnorm: the threshold, as in a Keras optimizer.

    Returns:
        A float between 0 and 1.
    """
    norms = np.asarray(norms, "float64")
    if not norms.size:
        raise ValueError("clipped_share expected at least one norm; received none.")
    return float(np.mean(~(norms <= global_clipnorm)))


def gates(layer, sequences, initial_state=None, mask=None):
    """Every gate of a recurrent layer at every step, without dropout.

        LSTM, with peepholes too, LayerNormLSTM    input, forget, output
        GRU, with both resets                      update, reset
        MinGRU                                     update
        MinLSTM                                    forget f / (f + i), input i / (f + i)

    They act as the layer's step says: the update gate of the GRU is the share of the
    old state that stays, that of the MinGRU the share that is new.

    Args:
        layer: a layer of these kinds, a Recurrent around such a cell, or a Stacked of
            them; a new one is built first. Of a Bidirectional, take its `forward_layer`
            and its `backward_layer`, one at a time.
        sequences: `(batch, time, features)`.
        initial_state: as in a call of the layer; the layer's own where it is None.
        mask: bool `(batch, time)` or None; a step with False leaves the state as it
            is, and its gates are NaN, so that `saturation` leaves them out.

    Returns:
        dict: the gate's name -> NumPy array `(batch, time, units)`, float32, or float64
        where the layer computes in it. Of a Stacked the names begin with the level's,
        from the lowest: `level_0_input`, as in its `state_names`. The first step stands
        first; with `go_backwards` that is the one on the last input.

    Raises:
        ValueError: the layer is none of this package, has no gates (Elman, Jordan,
            FullyRecurrent, cells with a memory or around another cell), or a level of
            it has none; sequences or a mask of another shape.

    Example:
        >>> x = np.zeros((2, 9, 3), "float32")
        >>> {name: gate.shape for name, gate in gates(GRU(4), x).items()}
        {'update': (2, 9, 4), 'reset': (2, 9, 4)}
    """
    sequences = _sequences("gates", layer, sequences)
    expect_mask(layer, "`mask`", mask, sequences, "time")
    stacked = isinstance(layer, Stacked)
    levels = layer.levels if stacked else [layer]
    for level in levels:
        if not has_gates(level.cell):
            raise ValueError(
                "gates expected cells with gates of their own (LSTMCell, "
                "LayerNormLSTMCell, GRUCell, MinGRUCell, MinLSTMCell); received a "
                f"{type(level.cell).__name__} in '{level.name}'. Of Keras' own layers "
                "`convert.from_keras` makes such."
            )
    if not layer.built:
        layer(sequences)
    if initial_state is None:
        initial_state = layer.get_initial_state(sequences.shape[0])
    starts = layer.split_states(initial_state) if stacked else [initial_state]
    time = sequences.shape[1]
    real = ops.ones((*sequences.shape[:2], 1), "bool")
    if mask is not None:
        real = as_column(ops.convert_to_tensor(mask))
    x, real = at_least_one_step(sequences), at_least_one_step(real)
    if layer.go_backwards:
        x, real = ops.flip(x, axis=1), ops.flip(real, axis=1)

    found = {}
    for k, (level, start) in enumerate(zip(levels, starts, strict=True)):
        values, y = _gates_and_outputs(level, x, tree.flatten(start), real)
        for name, value in values.items():
            found[f"level_{k}_{name}" if stacked else name] = value[:, :time]
        x = y + x if stacked and layer.residual and k > 0 else y
    return found


def saturation(gates, low=0.1, high=0.9):
    """How often each gate is nearly shut, and nearly open.

    Args:
        gates: from `gates`: dict name -> `(batch, time, units)`; NaN is left out.
        low, high: what is below counts as shut, what is above as open.

    Returns:
        dict name -> (share below `low`, share above `high`), floats from 0 to 1, over
        all rows, steps and units.

    Example:
        >>> saturation({"update": np.array([0.02, 0.5, 0.97, 0.99])})
        {'update': (0.25, 0.5)}
    """
    shares = {}
    for name, values in gates.items():
        values = values[~np.isnan(values)]
        if not values.size:
            raise ValueError(
                f"saturation expected at least one value of the gate {name!r}; "
                "received none but NaN. Give `gates` a sequence with a real step."
            )
        shares[name] = (float(np.mean(values < low)), float(np.mean(values > high)))
    return shares


def _gates_and_outputs(layer, sequences, states, real):
    """Of one layer or level: dict name -> NumPy (batch, time, units), NaN where `real`,
    bool (batch, time, 1), is False; and the outputs, of which those are arbitrary."""
    cell, dtype = layer.cell, layer.compute_dtype
    wide = keras.backend.result_type(cell.compute_dtype, "float32")
    weights, by_step, outputs = cell.step_weights(), [], []
    states = [ops.convert_to_tensor(state, dtype) for state in states]
    for t in range(sequences.shape[1]):
        x = sequences[:, t]
        inputs = cast_all((x, states), cell.compute_dtype)
        by_step.append(cell.step_gates(*inputs, weights))
        output, after = layer.step(x, states)
        outputs.append(output)
        states = [
            ops.where(real[:, t], new, old)
            for new, old in zip(after, states, strict=True)
        ]
    values = {}
    for name in by_step[0]:
        value = ops.stack([step[name] for step in by_step], axis=1)
        value = ops.where(real, ops.cast(value, wide), np.nan)
        values[name] = ops.convert_to_numpy(value)
    return values, ops.stack(outputs, axis=1)


def _sequences(name, layer, sequences):
    """The sequences in the layer's dtype; an error where the function `name` cannot
    take them, or the layer, step by step."""
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError(
            f"{name} expected one direction; received the Bidirectional "
            f"'{layer.name}', whose two layers read in opposite orders and have no "
            "step in common. Pass its forward_layer, then its backward_layer."
        )
    if not isinstance(layer, (Recurrent, Stacked)):
        raise ValueError(
            f"{name} expected one recurrent layer of this package (Elman, GRU, "
            f"LSTM, Stacked, a Recurrent around a cell); received "
            f"{type(layer).__name__}. Of a model, pass the layer and what goes into it."
        )
    sequences = ops.convert_to_tensor(sequences, dtype=layer.compute_dtype)
    if len(sequences.shape) != 3:
        raise ValueError(
            f"{name} expected sequences of shape (batch, time, features); "
            f"received {tuple(sequences.shape)}."
        )
    return sequences


def _sizes(layer):
    return [int(size) for size in tree.flatten(layer.state_size)]


def _norms(matrices, sizes):
    """Spectral norms of the diagonal blocks: (..., size, size) -> a list of (...)."""
    ends = np.cumsum(sizes)
    blocks = [
        matrices[..., end - size : end, end - size : end]
        for size, end in zip(sizes, ends, strict=True)
    ]
    return [np.linalg.norm(block, ord=2, axis=(-2, -1)) for block in blocks]


def _tensorflow(name):
    """TensorFlow, or an error on another backend, which has no gradient tape."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"{name} needs the TensorFlow backend; Keras runs on "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    return tf
