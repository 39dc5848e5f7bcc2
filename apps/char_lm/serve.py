"""From a prompt to its continuation: the same graph for predict, terminal and export.

A client of an export needs TensorFlow only. This one draws the characters itself, one
by one, and prints each as soon as it is drawn:

    import sys
    import numpy as np
    import tensorflow as tf

    folder, prompt, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signatures = tf.saved_model.load(folder).signatures
    draw = np.random.default_rng(0)

    def read(token, states, reset=False):
        states = signatures["step"](
            token=tf.constant([token]), reset=tf.constant([reset]), **states
        )
        return states.pop("logits").numpy()[0], states

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
    for _ in range(length):
        logits[0] = -np.inf  # id 0 stands for every character that it does not know
        chances = np.exp((logits - logits.max()) / 0.8)  # temperature
        token = draw.choice(len(chances), p=chances / chances.sum())
        one = tf.constant([token], tf.int32)
        letter = signatures["decode"](before=one, token=one)
        print(letter["text"].numpy()[0].decode(), end="", flush=True)
        logits, states = read(token, states)
    print()
"""

import dataclasses

import numpy as np
import tensorflow as tf

from ..core.data.texts import read_or_why
from ..core.errors import Unanswered, UserError
from ..core.tasks.language import serving, streamed
from ..core.tasks.language.streams import Text, loss_meter
from ..core.tasks.language.training import figures
from .config import Decode
from .data import load_data

BATCH = 64
# What a client of an export chooses; the rest was fixed when it was exported.
REQUEST_OPTIONS = ("temperature", "length", "seed")
Streamed = streamed.Streamed  # for `saccade client --stream`


def sampler(model, characters, options, compiled=False):
    """The `serving.Sampler` of a model, by a `Decode`."""
    return serving.sampler(
        model, characters, compiled=compiled, **fixed(characters, options)
    )


def fixed(characters, options):
    """What no request can change.

    An empty prompt is read as a line break, behind which a text may begin, or, in a
    text without one, as the most frequent character.
    """
    (start,) = characters.ids("\n")
    return {
        "start": int(start) or 1,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "stop": stop_text(options),
    }


def stop_text(options):
    """The text before which a continuation ends. A shell hands \\n on as it is."""
    return options.stop.replace("\\n", "\n").replace("\\t", "\t")


def predict(model, config, characters, inputs, options):
    """Continuations of prompts: a list of dicts, one per input, in their order.

    Args:
        inputs: str or bytes are prompts; a `pathlib.Path` is a UTF-8 text file whose
            whole content is one.

    Returns:
        per prompt: `prompt` str; `continuation` str; `length`, its characters; `ok`
        bool. A file that cannot be read has `ok` False, an empty continuation, and in
        `error` the reason. All prompts are continued with the same seed, so an answer
        does not depend on the others.
    """
    respond = sampler(model, characters, options).respond
    request = {name: getattr(options, name) for name in REQUEST_OPTIONS}
    return from_signature(respond, inputs, **request)


def from_signature(respond, inputs, **options):
    """As `predict`, through a function of a request: a graph or an export's.

    Args:
        options: fields of `Decode` that a request can hold, see REQUEST_OPTIONS.
    """
    chosen = dataclasses.replace(Decode(), **options)
    prompts = [_prompt(item) for item in inputs]
    answers = []
    for i in range(0, len(prompts), BATCH):
        some, errors = zip(*prompts[i : i + BATCH], strict=True)
        outputs = respond(
            text=tf.constant(some),
            temperature=tf.fill([len(some)], chosen.temperature),
            length=tf.fill([len(some)], chosen.length),
            seed=tf.fill([len(some)], chosen.seed),
        )
        texts, lengths = outputs["continuation"].numpy(), outputs["length"].numpy()
        for row, error in enumerate(errors):
            answer = {
                "prompt": some[row].decode("utf-8", "replace"),
                "continuation": texts[row].decode(),
                "length": int(lengths[row]),
                "ok": not error,
            }
            if error:
                answer |= {"continuation": "", "length": 0, "error": error}
            answers.append(answer)
    return answers


def _prompt(item):
    """The bytes of a prompt, and why there are none or ""."""
    if isinstance(item, bytes):
        return item, ""
    if isinstance(item, str):
        # What is no character comes out as bytes that are no UTF-8: unknown ones.
        return item.encode("utf-8", "surrogatepass"), ""
    text, why = read_or_why(item)
    return text.encode(), why


def stream(model, config, characters, prompt, options):
    """The continuation of one prompt in parts, an iterator of str, as it is being
    written; joined, they are what `predict` answers."""
    content, error = _prompt(prompt)
    if error:
        raise UserError(error)
    request = [getattr(options, name) for name in REQUEST_OPTIONS]
    return sampler(model, characters, options).stream(content, *request)


def terminal_parts(loaded, inputs, options):
    """Yields what the terminal shows: each prompt, and its continuation as it comes.

    Args:
        loaded: Run or Export. inputs: as in `predict`. options: dict, fields of
            `Decode`.

    Raises:
        UserError: a prompt is empty.
        Unanswered: at the end, for files that could not be read.
    """
    failed = []
    for item in inputs:
        content, error = _prompt(item)
        if error:
            failed.append(error)
            continue
        if not content:
            raise UserError(
                "Expected a prompt of at least one character: the model says what "
                "follows a text. A line break will do: --prompt $'\\n'"
            )
        if hasattr(loaded, "stream"):
            parts = loaded.stream(content, **options)
        else:
            (answer,) = loaded.predict([content], **options)
            parts = [answer["continuation"]]
        if len(inputs) > 1:
            yield f"==> {item} <==\n"
        yield content.decode("utf-8", "replace")
        yield from parts
        yield "\n"
    if failed:
        raise Unanswered("\n".join(failed))


def evaluate(model, config, characters, examples, options):
    """The loss of a text in nats, bits and as perplexity per character.

    The state is carried through the whole text, as it was in training. Characters that
    the model does not know count as one; `unknown_percent` says how many there are.

    Args:
        examples: `streams.Text` in the ids of `characters`.
        options: as they are by default: nothing is drawn here.
    """
    serving.check_undrawn(options)
    parts = len(config.split.split("/"))
    unknown = sum(np.sum(ids == characters.unknown) for _, ids in examples.pieces())
    return {
        **figures(loss_meter(model)(examples)),
        "unknown_percent": 100 * float(unknown) / len(examples),
        "characters": len(examples),
        "measured_on": "test" if parts == 3 else "validation",
    }


def test_examples(config, characters):
    """The test text of the data that `config` names, in the ids of `characters`, which
    need not be those of that data."""
    splits = load_data(config)
    table = np.array([characters.unknown, *characters.ids(splits.characters.own)])
    pieces = ((begins, table[ids]) for begins, ids in splits.test.pieces())
    return Text.from_pieces(pieces, characters.size)


def exported_options(config):
    """How an export writes where the request does not say."""
    return Decode()


def signatures(model, config, characters, options):
    """The export's functions by name: see `core.tasks.language.serving.signatures`."""
    return serving.signatures(model, characters, **fixed(characters, options))
