"""What the units of a language model do while it reads a text."""

import numpy as np
import tensorflow as tf

from ...core.tasks.language.streams import state_names


def read_states(model, ids, start=None):
    """The state of every unit behind every character, carried through the whole text.

    The model itself is called on one character after the other, in one compiled loop:
    it hands out its whole state (a layer with return_sequences would give h alone), it
    works for every cell, and no state is cut where a window ends. An LSTM of 256 units
    reads 25,000 characters a second.

    Args:
        model: as `build_language_model` makes it.
        ids: int32 (characters,).
        start: the token that is read before them, or None.

    Returns:
        names, list of str such as "level_0_c[17]", and values float32 (characters,
        units), all levels and states side by side; memory cells c as tanh(c), which is
        what the rest of the network sees of them.
    """
    states = state_names(model)
    sizes = [model.input[name].shape[-1] for name in states]

    @tf.function(jit_compile=True)
    def run(tokens):
        length = tokens.shape[0]

        def step(t, values, rows):
            inputs = dict(zip(states, values, strict=True))
            inputs["tokens"] = tf.reshape(tokens[t], [1, 1])
            inputs["reset"] = tf.reshape(t == 0, [1, 1])
            outputs = model(inputs, training=False)
            values = [tf.cast(outputs[name], tf.float32) for name in states]
            visible = [
                tf.tanh(v) if name.endswith("_c") else v
                for name, v in zip(states, values, strict=True)
            ]
            return t + 1, values, rows.write(t, tf.concat(visible, axis=1)[0])

        start = [tf.zeros([1, size]) for size in sizes]
        rows = tf.TensorArray(tf.float32, length, element_shape=(sum(sizes),))
        loop = tf.while_loop(lambda t, *_: t < length, step, [0, start, rows])
        return loop[-1].stack()

    names = [
        f"{name}[{i}]"
        for name, size in zip(states, sizes, strict=True)
        for i in range(size)
    ]
    if start is None:
        return names, run(tf.constant(ids)).numpy()
    return names, run(tf.constant(np.append(np.int32(start), ids))).numpy()[1:]
