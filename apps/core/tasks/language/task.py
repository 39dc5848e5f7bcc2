"""Language models: a text goes in, its continuation or its probability comes out."""

import functools
import math
import typing

import keras
import numpy as np
import tensorflow as tf

from .....layers import decoding
from ...data.places import lies_in
from ...errors import UserError
from ...inputs.kinds import State, Tensor, as_request
from ...training import optimizers
from ..signatures import Signature
from ..task import Task
from . import serving
from .model import state_sizes
from .streams import Carrier, batch_facts, loss_meter, train_windows

UNKNOWN = 0  # The id of what a vocabulary does not know; it is never written.


class Language(Task):
    """Continues texts and says how probable they are, token by token.

    Its examples are `streams.Documents`. Its assets are a `vocabulary.Vocabulary`.

    Attributes of a subclass:
        unit: what its tokens are called. scored: what a text with a score is called.
        made: values of --data that name no place -> where such data comes from.
    """

    best = "-nats"
    in_words: typing.ClassVar = {
        "nats": "{:.3f} nats",
        "perplexity": "perplexity {:.2f}",
    }
    validated_at_most = 10**6  # tokens; a validation text may be huge
    unit, scored = "tokens", "text"
    made = {}

    # What an app writes besides

    def stop_tokens(self, options):
        """The tokens before which a continuation ends: a list, empty for none."""
        raise NotImplementedError

    def stop_tokens_by(self, encode, options):
        """As `stop_tokens`, of a client that has no vocabulary.

        encode: function of a text -> its tokens, a list.
        """
        raise NotImplementedError

    def before(self, prompt):
        """What `show` prints before the continuation of a prompt."""
        return prompt

    def show_score(self, answer):
        """As `show`, of an answer to `score`."""
        raise NotImplementedError

    def vocabulary_facts(self):
        """Of the assets, for people."""
        raise NotImplementedError

    # Data

    def text(self, documents):
        """`Documents` as a `streams.Text`."""
        return documents.text(self.assets)

    def why_no_test(self):
        return f"{self.config.data} has no text"

    def describe(self, splits):
        text = self.text(splits.train)
        same = splits.test is splits.validation
        return {
            "lies in": lies_in(self.config, **self.made),
            "training": self.size_of(splits.train),
            "validation": self.size_of(splits.validation),
            "test": "as validation" if same else self.size_of(splits.test),
            "texts that begin anew": len(text.starts),
            **self.vocabulary_facts(),
            "sha256": splits.sha256,
            **batch_facts(self.config, text),
        }

    def size_of(self, documents):
        """How much text it is, for people."""
        return f"{len(documents):,} {self.unit}"

    # Training: by truncated backpropagation, see `streams`

    def batches(self, examples):
        config = self.config
        return functools.partial(
            train_windows,
            self.text(examples),
            config.batch_size,
            config.window,
            config.seed,
        )

    def trainer(self, model):
        replicas = model.distribute_strategy.num_replicas_in_sync
        return Carrier(model, self.config.batch_size // replicas)

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def optimizer(self, steps):
        # In a few steps Adam's moments know too little for the full learning rate: a
        # short training that began at once ended half a nat worse (240 steps, 384
        # units).
        warm_up = max(1, steps // 50, min(50, steps // 5))
        schedule = {"alpha": 0.01}
        return optimizers.adamw(
            self.config, steps, warm_up, beta_2=0.99, schedule=schedule
        )

    def evaluate(self, answerer, examples, options, most=None):
        """The loss of a text in nats, bits and as perplexity per token.

        The state is carried through every document, as it was in training. What the
        model does not know counts as one token: a perplexity means nothing without
        `unknown_percent`, because the more tokens are unknown, the easier it is to
        predict the next.

        Args:
            examples: `Documents`. options: as they are by default: nothing is drawn.
            most: tokens at most, the first; then the whole text is not counted, which
                may be huge.
        """
        if options != type(options)():
            raise UserError(
                "Measuring a text draws nothing, so no option of drawing has an "
                f"effect; received {options}. Leave them out."
            )
        text = self.text(examples)
        parts = len(self.config.split.split("/"))
        return {
            **figures(kept_meter(answerer.model)(text, most)),
            **(self.counts(text) if most is None else {}),
            "measured_on": "test" if parts == 3 else "validation",
        }

    def counts(self, text):
        """How many tokens a `streams.Text` has, and what share of them is unknown."""
        tokens = len(text)
        if self.assets.start is not None:
            tokens -= len(text.starts)
        unknown = sum(np.sum(ids == self.assets.unknown) for _, ids in text.pieces())
        return {"unknown_percent": 100 * float(unknown) / tokens, self.unit: tokens}

    # Continuations

    def features(self, values):
        tokens, length = serving.prompts(self.assets, values["text"])
        return {"tokens": tokens, "length": length}

    def respond(self, model, inputs, options):
        return self._write(model, inputs, options, compiled=False)

    def compiled(self, model, inputs, options):
        """As `respond`: XLA compiles what is between the strings. The lengths may
        change without a new compilation, the number of rows may not."""
        return self._write(model, inputs, options, compiled=True)

    def _write(self, model, inputs, options, compiled):
        stop = self.stop_tokens(options)
        sampler = serving.Sampler(
            model, self.assets, options.top_k, options.top_p, stop, compiled
        )
        tokens, length = sampler.write(
            inputs["tokens"],
            inputs["length"],
            options.temperature,
            options.length,
            options.seed,
        )
        return {"tokens": tokens, "length": length}

    def answer(self, values, tensors, options):
        """`continuation` string, without the prompt; `length` int32, its tokens."""
        text = self.assets.decode(tensors["tokens"], tensors["length"])
        return {"continuation": text, "length": tensors["length"]}

    def readable(self, request, row):
        answer = super().readable(request, row)
        if "text" not in request:
            return answer
        if "log_prob" not in answer:
            return {"prompt": self.prompt_of(request), **answer}
        nats = -answer["log_prob"] / max(answer["length"], 1)
        perplexity = figures(nats)["perplexity"]
        return {
            self.scored: self.prompt_of(request),
            **answer,
            "perplexity": perplexity,
        }

    def prompt_of(self, request):
        """The text of a request, str; what is no character is shown as unknown."""
        text, _ = self.kinds()["text"].text(request["text"])
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")

    def show(self, answer):
        if "log_prob" in answer:
            return self.show_score(answer)
        return self.before(answer["prompt"]) + answer["continuation"]

    # Further signatures

    def signatures(self):
        """score(text) -> log_prob, length, see `answer_score`.

        For a client that chooses the tokens itself:

        encode(text) -> tokens, length: what is read of a text, `start` first.
        step(token, reset, level_<k>_<part> ...) -> logits, level_<k>_<part> ...;
            `reset` puts the initial state in.
        decode(before, token) -> text, before: what `token` adds to a text; `before` is
            what the call for the token before it returned, -1 where the text begins. A
            row is one token, because a server that puts requests together fails those
            of different widths.
        """
        token = Tensor("int32")
        states = {n: State(size) for n, size in state_sizes(self.config).items()}
        return {
            "score": Signature(
                self.score_kinds(),
                self.respond_score,
                self.answer_score,
                self.score_features,
            ),
            "step": Signature(
                {"token": token, "reset": Tensor("bool"), **states},
                self.respond_step,
                as_it_is,
                dict,
            ),
            "encode": Signature(
                self.kinds(), lambda model, inputs, options: inputs, as_it_is,
                self.encoded,
            ),
            "decode": Signature(
                {"before": token, "token": token},
                lambda model, inputs, options: inputs,
                self.answer_decode,
                dict,
            ),
        }  # fmt: skip

    def score_kinds(self):
        return self.kinds()

    def score_features(self, values):
        return self.encoded(values)

    def respond_score(self, model, inputs, options):
        sampler = serving.Sampler(model, self.assets)
        _, _, log_prob = sampler.read(inputs["tokens"], inputs["length"])
        counted = inputs["length"] - (self.assets.start is not None)
        return {"log_prob": log_prob, "length": counted}

    def answer_score(self, values, tensors, options):
        """`length` int32, n, the tokens of a text; `log_prob` float32, the sum over t =
        1 ... n of ln p(x_t | x_1 ... x_{t-1}). Of a vocabulary without a start the sum
        begins with t = 2."""
        return tensors

    def encoded(self, values):
        tokens, length = self.assets.encode(values["text"])
        return {"tokens": tokens, "length": length}

    def respond_step(self, model, inputs, options):
        states = dict(inputs)
        token, reset = self.known(states.pop("token"), True), states.pop("reset")
        logits, states = serving.Sampler(model, self.assets).step(token, states, reset)
        return {"logits": logits, **states}

    def known(self, tokens, read=False):
        """Tokens that are none of the vocabulary's become the unknown one.

        read: whether `start` may be one of them.
        """
        inside = (tokens >= 0) & (tokens < self.assets.size)
        if read and self.assets.start is not None:
            inside |= tokens == self.assets.start
        return tf.where(inside, tokens, self.assets.unknown)

    def answer_decode(self, values, tensors, options):
        token = self.known(tensors["token"])
        text, before = self.assets.decode_step(tensors["before"], token)
        return {"text": text, "before": before}

    # Streams

    def stream(self, answerer, request, options):
        prompt, encoded = self._prompt(request)
        yield self.before(prompt)
        inputs = self.features({"text": tf.constant([encoded])})
        stop = tuple(self.stop_tokens(options))
        sampler = serving.sampler(
            answerer.model, self.assets, options.top_k, options.top_p, stop
        )
        yield from sampler.stream(
            inputs["tokens"],
            inputs["length"],
            options.temperature,
            options.length,
            options.seed,
        )

    def stream_by_steps(self, answering, request, options):
        """The tokens are chosen here, by the random numbers by which an export chooses
        them: joined, the parts are what `show` prints of its answer. All options are
        free."""
        prompt, encoded = self._prompt(request)
        remote = Remote(answering)
        tokens = remote.encode(encoded)
        if not tokens:  # of a vocabulary without a start
            raise UserError("Expected a prompt of at least one character.")
        stop = self.stop_tokens_by(remote.encode, options)
        yield self.before(prompt)
        logits, states = remote.read(tokens[-serving.LONGEST_PROMPT :])

        written, count_yielded, before = [], 0, -1
        for i in range(options.length):
            if i % serving.PIECE == 0:
                seeds = tf.constant([[options.seed, i // serving.PIECE]])
                draws = decoding.uniform(serving.PIECE, seeds)
            written.append(choose(logits, draws[:, i % serving.PIECE], options))
            ended = bool(stop) and written[-len(stop) :] == stop
            if ended:
                written = written[: -len(stop)]
            # What may become the stop text is held back until that is clear.
            last = ended or i == options.length - 1
            sure = len(written) - (0 if last else max(len(stop) - 1, 0))
            for k in range(count_yielded, sure):
                text, before = remote.decode(before, written[k])
                yield text
            count_yielded = max(count_yielded, sure)
            if last:
                return
            logits, states = remote.step(written[-1], states)

    def _prompt(self, request):
        """The prompt as it is shown, and the bytes that are sent for it."""
        kinds = self.kinds()
        request = as_request(kinds, request)
        encoded, error = kinds["text"].encode(request["text"])
        if error:
            raise UserError(error)
        return self.prompt_of(request), encoded


class Remote:
    """The signatures `encode`, `step` and `decode` of an export or a server, one text
    at a time.

    Args:
        answering: a `core.run.Answering`.
    """

    def __init__(self, answering):
        self._answering = answering

    def _call(self, signature, **inputs):
        response = self._answering.call(signature, **inputs)
        return {name: np.array(value) for name, value in response.items()}

    def encode(self, text):
        """The tokens of a text, list of int."""
        response = self._call("encode", text=tf.constant([text]))
        return response["tokens"][0, : response["length"][0]].tolist()

    def decode(self, before, token):
        """The text, str, that `token` adds, and `before` of the token behind it.

        An older export knows no more of a text than its last token.
        """
        pair = {"before": tf.constant([before]), "token": tf.constant([token])}
        response = self._call("decode", **pair)
        return response["text"][0].decode(), int(response.get("before", [token])[0])

    def step(self, token, states, reset=False):
        """Logits behind a token, float32 (1, vocabulary), and the states."""
        response = self._call(
            "step", token=tf.constant([token]), reset=tf.constant([reset]), **states
        )
        states = {name: tf.constant(response[name]) for name in states}
        return response["logits"], states

    def read(self, tokens):
        """As `step`, behind a list of tokens that begins from the initial state."""
        # The first token's `reset` puts the initial state in, whatever is sent for it.
        states = {
            name: tf.zeros([1, *shape[1:]])
            for name, shape in self._answering.inputs_of("step").items()
            if name not in ("token", "reset")
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


def as_it_is(values, tensors, options):
    return tensors


@functools.lru_cache(maxsize=1)
def kept_meter(model):
    """`loss_meter`, kept from round to round: compiling it takes seconds."""
    return loss_meter(model)


def figures(nats):
    """A loss in the three units in which papers give it."""
    return {
        "nats": nats,
        "bits": nats / math.log(2),
        # TensorBoard keeps float32, whose greatest number is exp(88.7).
        "perplexity": math.exp(min(nats, 88.0)),
    }
