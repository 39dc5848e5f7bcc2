"""Words from their characters, inside a sequence of words."""

import keras
from keras import layers, ops

from .bidirectional import Bidirectional
from .gru import GRU

KINDS = ("cnn", "rnn")


@keras.saving.register_keras_serializable(package="saccade")
class CharacterEncoder(layers.Layer):
    """A vector for each word of a sequence, from its characters.

    cnn: filters over the characters, and of each the maximum (Ma & Hovy 2016,
    arXiv:1603.01354). rnn: a GRU in each direction, and the last states of both side by
    side (Lample et al. 2016, arXiv:1603.01360, with LSTMs).

    Args:
        characters: int, how many there are; ids are below it, 0 is padding.
        width: int, of a word's vector; for rnn an even number.
        kind: "cnn" or "rnn".
        embedding: int, of a character's vector.
        window: int, characters that a filter sees; for cnn.

    Call arguments: ids, int (batch, words, length), each word's characters from the
    first place on, then padding; `length` is known when the layer is built.

    Output: (batch, words, width); zeros for a word without characters.
    """

    def __init__(self, characters, width, kind="cnn", embedding=32, window=3, **kwargs):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {KINDS}; received {kind!r}.")
        if kind == "rnn" and width % 2:
            raise ValueError(
                f"width: expected an even number with kind='rnn', half of it for each "
                f"direction; received {width}."
            )
        self.characters, self.width, self.kind = characters, width, kind
        self.embedding, self.window = embedding, window
        policy = {"dtype": self.dtype_policy}
        self.embed = layers.Embedding(characters, embedding, name="embed", **policy)
        if kind == "cnn":
            self.read = layers.Conv1D(
                width, window, padding="same", name="filters", **policy
            )
        else:
            self.read = Bidirectional(GRU(width // 2, **policy), name="gru", **policy)

    def build(self, ids_shape):
        if self.built:
            return
        length = ids_shape[-1]
        if length is None:
            raise ValueError(
                "ids: expected (batch, words, length) with a known length; received "
                f"the shape {tuple(ids_shape)}."
            )
        self.embed.build((None, length))
        self.read.build((None, length, self.embedding))
        self.built = True

    def call(self, ids):
        length = ids.shape[-1]
        flat = ops.reshape(ids, (-1, length))  # (batch words, length)
        real = ops.not_equal(flat, 0)
        vectors = self.embed(flat) * ops.cast(real, self.compute_dtype)[..., None]
        if self.kind == "cnn":
            found = ops.where(real[..., None], self.read(vectors), -1e4)
            found = ops.max(found, axis=1)
        else:
            found = self.read(vectors, mask=real)
        found = ops.where(ops.any(real, axis=1, keepdims=True), found, 0.0)
        return ops.reshape(found, (-1, ops.shape(ids)[1], self.width))

    def compute_output_shape(self, ids_shape):
        return (*ids_shape[:2], self.width)

    def get_config(self):
        own = ("characters", "width", "kind", "embedding", "window")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
