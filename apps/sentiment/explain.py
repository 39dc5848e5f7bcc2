"""Which words decide: what the answer would be without each token, and before it."""

import numpy as np
import tensorflow as tf

from ..core.tasks.pieces import in_pieces

VARIANTS = 64  # that the model reads at a time
NOTE = (
    "attention: how much each word counts in what decides (red: most). occlusion: how "
    "much surer the word makes the verdict (red), or less sure (blue). so far: the "
    "probability of the verdict if the text ended there (blue 0, white a half, red 1)."
)


def by_token(respond, inputs, probabilities):
    """In the graph: what every token does to an answer.

    Args:
        respond: function (inputs) -> probabilities (rows, classes).
        inputs: `tokens` int32 (batch, time), padded with 0, the last of each row an
            <end>; others with one row per text.
        probabilities: (batch, classes), of the inputs as they are.

    Returns:
        dict of `occlusion` float32 (batch, time): by how much the log-odds of the
        likeliest class fall without the token; `after` float32 (batch, time, classes):
        the probabilities if the text ended behind it. Both are 0 in padding.
    """
    tokens = inputs["tokens"]
    batch, time = tf.shape(tokens)[0], tf.shape(tokens)[1]
    steps = tf.range(time)
    lengths = tf.reduce_sum(tf.cast(tokens != 0, tf.int32), axis=1)
    end = tf.gather(tokens, lengths - 1, batch_dims=1)[:, None, None]  # (batch, 1, 1)

    # (batch, time, time): the text without token t, the others moved up; and the text
    # up to token t, with its <end>.
    places = steps + tf.cast(steps >= steps[:, None], tf.int32)
    without = tf.gather(tf.pad(tokens, [[0, 0], [0, 1]]), places, axis=1)
    up_to = tf.where(steps <= steps[:, None], tokens[:, None], 0)
    up_to = tf.where(steps == steps[:, None] + 1, end, up_to)
    last = (steps >= lengths[:, None] - 1)[..., None]  # the whole text, <end> and all
    up_to = tf.where(last, tokens[:, None], up_to)
    # A text of <end> alone has no token to leave out.
    without = tf.where(lengths[:, None, None] > 1, without, tokens[:, None])

    variants = {"tokens": tf.reshape(tf.stack([without, up_to], 1), [-1, time])}
    for name, tensor in inputs.items():
        if name != "tokens":
            variants[name] = tf.repeat(tensor, 2 * time, axis=0)

    def some(indices):
        return respond({name: tf.gather(v, indices) for name, v in variants.items()})

    shape = [probabilities.shape[-1]]
    answers = in_pieces(some, 2 * batch * time, VARIANTS, shape)
    answers = tf.reshape(answers, [batch, 2, time, probabilities.shape[-1]])
    likeliest = tf.argmax(probabilities, axis=-1)
    score = log_odds(tf.gather(probabilities, likeliest, batch_dims=1))
    rest = log_odds(tf.gather(answers[:, 0], likeliest, axis=2, batch_dims=1))
    real = tokens != 0
    return {
        "occlusion": tf.where(real, score[:, None] - rest, 0),
        "after": tf.where(real[..., None], answers[:, 1], 0),
    }


def log_odds(probabilities):
    """Of probabilities, kept finite."""
    tiny = 1e-6
    return tf.math.log((probabilities + tiny) / (1 - probabilities + tiny))


def strongest(answer, most=3):
    """The tokens with the greatest occlusion, whatever its sign, for people.

    Args:
        answer: of the signature `explain`. most: tokens at most.
    """
    words = [i for i, end in enumerate(answer["end"]) if end > answer["start"][i]]
    values = answer["occlusion"]
    words.sort(key=lambda i: -abs(values[i]))
    return ", ".join(f"{answer['tokens'][i]} {values[i]:+.2f}" for i in words[:most])


def panels(text, answer, title):
    """Three panels of `plot.coloured_text`: a text by attention, by occlusion, and by
    what the verdict is so far.

    Args:
        text: str, what was read. answer: of the signature `explain`. title: str.
    """
    likeliest = int(np.argmax(answer["probabilities"]))
    values = {
        "attention": 0.5 + 0.5 * scaled(answer["attention"]),
        "occlusion": 0.5 + 0.5 * scaled(answer["occlusion"]),
        "so far": answer["after"][:, likeliest],
    }
    shades = {name: by_character(text, answer, v) for name, v in values.items()}
    if np.all(shades["attention"] == 0.5):  # the last state alone: all is on <end>
        del shades["attention"]
    first = next(iter(shades))
    return [
        (f"{title}: {name}" if name == first else name, text, shade, None)
        for name, shade in shades.items()
    ]


def scaled(values):
    """Divided by the greatest, whatever its sign."""
    return values / max(np.abs(values).max(), 1e-9)


def by_character(text, answer, values):
    """Values of tokens for each character of their text: float (characters,); 0.5
    between words, and where nothing was read."""
    shades = np.full(len(text), 0.5)
    for i, token in enumerate(answer["tokens"]):
        if token:
            shades[answer["start"][i] : answer["end"][i]] = values[i]
    return shades
