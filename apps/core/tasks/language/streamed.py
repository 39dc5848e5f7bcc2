"""A served language model whose tokens the client chooses, one request for each.

The export's signatures `encode`, `step` and `decode` do the rest: see `serving`.
"""

import numpy as np
import tensorflow as tf

from .....layers import decoding
from ...errors import UserError
from ...serving.served import Served
from .serving import LONGEST_PROMPT, PIECE

# What an export has fixed is free here.
OPTIONS = ("length", "seed", "stop", "temperature", "top_k", "top_p")
UNKNOWN = 0  # The id of what a vocabulary does not know; it is never written.


class Streamed(Served):
    """As `Served`, and `stream`: the client chooses the tokens."""

    def stream(self, prompt, **options):
        """Yields the continuation of a prompt in parts, as the tokens are chosen.

        They are chosen as an export chooses them, by the same random numbers: joined,
        the parts are what `predict` answers.

        Args:
            prompt: str or bytes.
            options: fields of the app's `Decode`, also those that an export has fixed.

        The version that answers first answers to the end. Where the server drops it
        meanwhile, the stream ends with a UserError.
        """
        self._check_free(options, OPTIONS)
        model = RemoteModel(self.client, self.app.name, self.which)
        options = self.app.config.Decode(**options)
        text, length = self._text_and_length(prompt, options)
        prompt_tokens = model.encode(text)
        if not prompt_tokens:
            raise UserError("Expected a prompt of at least one character.")
        stop_text = self.app.serve.stop_text(options)
        stop = model.encode(stop_text) if stop_text else []
        logits, states = model.read(prompt_tokens[-LONGEST_PROMPT:])

        tokens, count_yielded = [], 0
        for i in range(length):
            if i % PIECE == 0:
                seeds = tf.constant([[options.seed, i // PIECE]])
                draws = decoding.uniform(PIECE, seeds)
            tokens.append(choose(logits, draws[:, i % PIECE], options))
            ended = bool(stop) and tokens[-len(stop) :] == stop
            if ended:
                tokens = tokens[: -len(stop)]
            # What may become the stop text is held back until that is clear.
            last = ended or i == length - 1
            sure = len(tokens) - (0 if last else max(len(stop) - 1, 0))
            for k in range(count_yielded, sure):
                yield model.decode(tokens[k - 1] if k else -1, tokens[k])
            count_yielded = max(count_yielded, sure)
            if last:
                return
            logits, states = model.step(tokens[-1], states)

    def _text_and_length(self, prompt, options):
        """The text and the length that the app would send for a prompt."""
        request = {}

        def respond(**inputs):
            request.update(inputs)
            return {"continuation": tf.constant([b""]), "length": tf.constant([0])}

        free = self.app.serve.REQUEST_OPTIONS
        chosen = {name: getattr(options, name) for name in free}
        self.app.serve.from_signature(respond, [prompt], **chosen)
        return request["text"].numpy()[0], int(request["length"].numpy()[0])


class RemoteModel:
    """The signatures of one version of a served model, one text at a time.

    Args:
        client: a `Client`. name: of the model. which: dict, version and label as in
            `Client.predict`; the version that they mean now is kept.

    Raises:
        UserError: the model has no signature `step`.
    """

    def __init__(self, client, name, which):
        self.client, self.name = client, name
        self.version, signatures = client.describe(name, **which)
        if "step" not in signatures:
            raise UserError(f"{name} answers all at once: leave --stream out.")
        self.state_tensors = {
            name: tensor
            for name, tensor in signatures["step"].inputs.items()
            if name not in ("token", "reset")
        }

    def _predict(self, signature, **inputs):
        return self.client.predict(self.name, inputs, signature, self.version)

    def encode(self, text):
        """The tokens of a text, list of int."""
        return self._predict("encode", text=[text])["tokens"][0].tolist()

    def decode(self, before, token):
        """The text, str, that `token` adds behind the token `before`; -1: none."""
        added = self._predict("decode", before=[before], token=[token])["text"]
        return added[0].decode()

    def step(self, token, states, reset=False):
        """Logits behind a token, float32 (1, vocabulary), and the states."""
        states = self._predict("step", token=[token], reset=[reset], **states)
        return states.pop("logits"), states

    def read(self, tokens):
        """As `step`, behind a list of tokens that begins from the initial state."""
        # The first token's `reset` puts the initial state in, whatever is sent for it.
        states = {
            name: np.zeros([1, *tensor.shape[1:]], tensor.dtype)
            for name, tensor in self.state_tensors.items()
        }
        for i, token in enumerate(tokens):
            logits, states = self.step(token, states, reset=i == 0)
        return logits, states


def choose(logits, draws, options):
    """The next token, int: by a draw in [0, 1), (1,), from logits (1, vocabulary)."""
    logits[:, UNKNOWN] = -1e9
    if options.temperature <= 0:
        return int(np.argmax(logits))
    temperature = max(options.temperature, 1e-6)
    log_probs = decoding.filter_top_k_top_p(
        logits, temperature, options.top_k, options.top_p
    )
    return int(decoding.categorical(log_probs, draws)[0])
