"""The task of the character language model.

A client of an export needs TensorFlow only. This one draws the characters itself, one
by one, and prints each as soon as it is drawn:

    import sys
    import numpy as np
    import tensorflow as tf

    folder, prompt, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signatures = tf.saved_model.load(folder).signatures
    draw = np.random.default_rng(0)

    def read(token, states, reset=False):
        response = signatures["step"](
            token=tf.constant([token]), reset=tf.constant([reset]), **states
        )
        logits = response["logits"].numpy()[0]
        return logits, {name: response[name] for name in states}

    # The first token's `reset` puts the initial state in, whatever is sent for it.
    specs = signatures["step"].structured_input_signature[1]
    states = {
        name: tf.zeros([1, spec.shape[1]])
        for name, spec in specs.items()
        if name not in ("token", "reset")
    }
    encoded = signatures["encode"](text=tf.constant([prompt]))
    for i, token in enumerate(encoded["tokens"].numpy()[0].tolist()):
        logits, states = read(token, states, reset=i == 0)

    print(prompt, end="")
    before = tf.constant([-1])
    for _ in range(length):
        logits[0] = -np.inf  # id 0 stands for every character that it does not know
        chances = np.exp((logits - logits.max()) / 0.8)  # temperature
        token = draw.choice(len(chances), p=chances / chances.sum())
        one = tf.constant([token], tf.int32)
        added = signatures["decode"](before=before, token=one)
        before = added["before"]
        print(added["text"].numpy()[0].decode(), end="", flush=True)
        logits, states = read(token, states)
    print()
"""

from ..core.errors import UserError
from ..core.tasks.language.task import Language
from . import config, vocabulary
from .data import ALPHABETS, read
from .model import build_model


class CharLM(Language):
    """See `Language`."""

    name = "char_lm"
    settings = config
    unit = "characters"
    made = {
        "builtin": "the installed Python's own library",
        "hello": "made by every command",
    }

    def read(self):
        return read(self.config)

    def learn(self, train):
        """The characters of the training text, or those that its name stands for."""
        alphabet = ALPHABETS.get(self.config.data)
        if alphabet:
            return self.bound(assets=vocabulary.characters(alphabet))
        pieces = (piece for _, piece in train)
        return self.bound(assets=vocabulary.learn(pieces, self.config.min_count))

    def assets_from_json(self, text):
        return vocabulary.from_json(text)

    def build_model(self):
        return build_model(self.config, self.assets)

    def vocabulary_facts(self):
        return {"different characters": self.assets.size - 1}

    def example_rows(self, splits):
        """60 characters from each third of the training text."""
        size = len(splits.train)
        for place in (0, size // 3, 2 * size // 3):
            found, before = "", 0
            for _, piece in splits.train:
                found += piece[max(place - before, 0) :][: 60 - len(found)]
                before += len(piece)
                if len(found) == 60:
                    break
            yield repr(found)

    def stop_tokens(self, options):
        stop = stop_text(options)
        tokens = self.assets.ids(stop).tolist()
        if self.assets.unknown in tokens:
            raise UserError(
                f"--stop expected a text that the model can write; received {stop!r}, "
                "of which it has never seen some part."
            )
        return tokens

    def stop_tokens_by(self, encode, options):
        return encode(stop_text(options))[len(encode("")) :]

    def show_score(self, answer):
        return (
            f"log p {answer['log_prob']:.2f} of {answer['length']} characters, "
            f"perplexity {answer['perplexity']:.2f}"
        )

    def inspect(self, run, path, out):
        if path is None:
            raise UserError(
                "Expected a text file to read: saccade inspect char_lm FILE"
            )
        from .inspection import inspect

        return inspect(run, path, out)


def stop_text(options):
    """The text before which a continuation ends. A shell hands \\n on as it is."""
    return options.stop.replace("\\n", "\n").replace("\\t", "\t")


task_for = CharLM
