"""From a prompt to its continuation, from a sentence to its probability.

The same graph for predict, terminal and export. A client of an export ranks what a
recogniser heard with TensorFlow only:

    import sys
    import tensorflow as tf

    folder, *hypotheses = sys.argv[1:]
    score = tf.saved_model.load(folder).signatures["score"]
    rank_scores = score(text=tf.constant(hypotheses))["rank_score"].numpy()
    for score, text in sorted(zip(rank_scores, hypotheses), reverse=True):
        print(f"{score:.2f}  {text}")
"""

import functools
import math

import numpy as np
import tensorflow as tf

from ..core.data.texts import read_or_why
from ..core.errors import Unanswered, UserError
from ..core.tasks.language import serving, streamed
from ..core.tasks.language.streams import Text, loss_meter
from ..core.tasks.language.training import figures
from . import data, grammar
from .config import Decode

BATCH = 32
# What a client of an export chooses; the rest was fixed when it was exported.
REQUEST_OPTIONS = ("temperature", "length", "seed")
Streamed = streamed.Streamed  # for `saccade client --stream`


def fixed(words, options):
    """What no request can change."""
    return {
        "start": words.end,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "stop": stop_text(options),
    }


def stop_text(options):
    """The text before which a continuation ends: that of the end of a sentence."""
    return "<EOS>" if options.stop else ""


def sampler(model, words, options):
    """The `serving.Sampler` of a model, by a `Decode`."""
    return serving.sampler(model, words, **fixed(words, options))


def scorer(model, words):
    """The function `score` of an export: how probable sentences are, each for itself.

    It takes string (batch,) and returns a dict of (batch,):

        log_prob     float32, sum over t = 1 ... n of ln p(w_t | w_1 ... w_{t-1}), where
                     w_n is <EOS>; before w_1 stands <EOS> with the initial state
        length       int32, n
        unknown      int32, how many of the n are <UNK>
        rank_score   float32, log_prob - unknown ln(R), for comparing sentences

    p(<UNK>) is the probability that ANY of the R rare words comes, which is high: with
    it a sentence of words nobody knows would win. `rank_score` gives each of them an
    equal share of it (Ueberla 1994).
    """
    reader = serving.sampler(model, words, start=words.end)

    def score(text):
        (text,) = serving.checked(text=text)
        ids, lengths = words.encode(text)  # <EOS> w_1 ... w_{n-1}, then <EOS>
        ids = tf.pad(ids, [[0, 0], [0, 1]], constant_values=words.end)
        _, _, log_prob = reader.read(ids, lengths + 1)
        unknown = tf.reduce_sum(tf.cast(ids == words.unknown, tf.int32), axis=1)
        rare = tf.cast(unknown, tf.float32) * math.log(max(words.rare, 1))
        return {
            "log_prob": log_prob,
            "length": lengths,
            "unknown": unknown,
            "rank_score": log_prob - rare,
        }

    return score


def predict(model, config, words, inputs, options):
    """Continuations of prompts, or with `score` or `rank` the scores of lines.

    Args:
        inputs: str or bytes are texts; a `pathlib.Path` is a UTF-8 text file.

    Returns:
        list of dicts, each with `ok`, False for a file that cannot be read, and then
        the reason in `error`.
        Continuations, one per input: `prompt`, `continuation` str, `length`, its
        tokens. All prompts are continued with the same seed, so an answer does not
        depend on the others.
        Scores, one per line that is not empty: see `score_lines`.
    """
    if options.score or options.rank:
        contents, errors = _read(inputs)
        lines = [line for text in contents for line in text.split("\n") if line.strip()]
        scored = score_lines(model, words, lines)
        if options.rank:
            scored.sort(key=lambda answer: -answer["rank_score"])
        return scored + [{"ok": False, "error": error} for error in errors if error]
    respond = sampler(model, words, options).respond
    request = {name: getattr(options, name) for name in REQUEST_OPTIONS}
    return _continue(respond, words.prepare, inputs, **request)


@functools.lru_cache(maxsize=4)
def _score_graph(model, words):
    """`scorer` as a graph, kept: making it takes longer than scoring a page."""
    return tf.function(scorer(model, words), reduce_retracing=True)


def score_lines(model, words, lines):
    """How probable each line is: a list of dicts in their order.

    Args:
        lines: list of str.

    Returns:
        per line: `line`; `log_prob`, `length`, `unknown`, `rank_score` as `scorer` has
        them; `perplexity`, exp(-log_prob / length); `ok`, True.
    """
    score = _score_graph(model, words)
    prepared = words.prepare(lines)
    answers = [None] * len(lines)
    by_length = sorted(range(len(lines)), key=lambda i: len(lines[i]))
    for first in range(0, len(lines), BATCH):
        some = by_length[first : first + BATCH]
        outputs = score(tf.constant([prepared[i] for i in some]))
        columns = {key: value.numpy().tolist() for key, value in outputs.items()}
        for row, i in enumerate(some):
            answer = {key: column[row] for key, column in columns.items()}
            nats = -answer["log_prob"] / answer["length"]
            answer["perplexity"] = figures(nats)["perplexity"]
            answers[i] = {"line": lines[i], **answer, "ok": True}
    return answers


def from_signature(respond, inputs, **options):
    """As `predict`, through an export's function. One whose words are jieba's wants
    them with spaces between."""
    return _continue(respond, list, inputs, **options)


def _continue(respond, prepare, inputs, **request):
    default, dtypes = Decode(), (tf.float32, tf.int32, tf.int32)
    contents, errors = _read(inputs)
    prompts = [_prompt(text, prepare) for text in contents]
    answers = []
    for first in range(0, len(prompts), BATCH):
        some = prompts[first : first + BATCH]
        same = {
            name: tf.fill(
                [len(some)], tf.cast(request.get(name, getattr(default, name)), dtype)
            )
            for name, dtype in zip(REQUEST_OPTIONS, dtypes, strict=True)
        }
        outputs = respond(text=tf.constant(some), **same)
        texts, lengths = outputs["continuation"].numpy(), outputs["length"].numpy()
        for row, text in enumerate(texts):
            error = errors[first + row]
            answer = {
                "prompt": contents[first + row],
                "continuation": "" if error else text.decode(),
                "length": 0 if error else int(lengths[row]),
                "ok": not error,
            }
            answers.append(answer | ({"error": error} if error else {}))
    return answers


def _prompt(text, prepare):
    """A line break in a prompt ends a sentence."""
    return " <EOS> ".join(prepare(text.split("\n")))


def _read(inputs):
    """Texts, list of str without a line break at the end, and per text why there is
    none or ""."""
    pairs = [_text(item) for item in inputs]
    return [text.rstrip("\n") for text, _ in pairs], [error for _, error in pairs]


def _text(item):
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace"), ""
    if isinstance(item, str):
        return item.encode("utf-8", "replace").decode(), ""
    return read_or_why(item)


def stream(model, config, words, prompt, options):
    """Yields the continuation of one prompt in parts, as it is being written; joined,
    they are what `predict` answers."""
    (content,), (error,) = _read([prompt])
    if error:
        raise UserError(error)
    prompt = _prompt(content, words.prepare)
    request = [getattr(options, name) for name in REQUEST_OPTIONS]
    yield from sampler(model, words, options).stream(prompt, *request)


def terminal_parts(loaded, inputs, options):
    """Yields what the terminal shows: each prompt and its continuation as it comes, or
    a table of the lines' scores.

    Args:
        loaded: Run or Export. inputs: as in `predict`. options: dict, fields of
            `Decode`.

    Raises:
        Unanswered: at the end, for files that could not be read.
    """
    if options.get("score") or options.get("rank"):
        answers = loaded.predict(inputs, **options)
        good = [answer for answer in answers if answer["ok"]]
        if good:
            yield "  score    log p  perplexity  tokens  <UNK>  line\n"
        for answer in good:
            yield (
                f"{answer['rank_score']:7.2f}  {answer['log_prob']:7.2f}  "
                f"{answer['perplexity']:10.2f}  {answer['length']:6}  "
                f"{answer['unknown']:5}  {answer['line']}\n"
            )
        failed = [answer["error"] for answer in answers if not answer["ok"]]
    else:
        contents, errors = _read(inputs)
        failed = [error for error in errors if error]
        for content, error in zip(contents, errors, strict=True):
            if error:
                continue
            # Words stand apart, Chinese does not.
            apart = " " if content.isascii() else ""
            yield content + (apart if content else "")
            if hasattr(loaded, "stream"):
                yield from loaded.stream(content, **options)
            else:
                (answer,) = loaded.predict([content], **options)
                yield answer["continuation"]
            yield "\n"
    if failed:
        raise Unanswered("\n".join(failed))


def evaluate(model, config, words, examples, options):
    """The loss of a text in nats, bits and as perplexity per token, <EOS> included.

    With builtin data also `agreement_percent`: how often a sentence whose verb agrees
    with its subject gets the higher score than the same with the other verb, over
    distances of 1 to 20; guessing reaches 50.

    A perplexity means nothing without `unknown_percent`, the share of <UNK> among the
    tokens: the more words are taken for one, the easier it is to tell.

    Args:
        examples: `streams.Text` in the ids of `words`.
        options: as they are by default: nothing is drawn here.
    """
    serving.check_undrawn(options)
    parts = len(config.split.split("/"))
    agreement = {}
    if config.data == "builtin":
        agreement["agreement_percent"] = agreement_percent(model, words)
    return {
        **figures(float(loss_meter(model)(examples))),
        **agreement,
        "unknown_percent": 100 * data.unknown_share(examples),
        "tokens": len(examples) - len(examples.starts),
        "vocabulary": words.size,
        "measured_on": "test" if parts == 3 else "validation",
    }


def agreement_percent(model, words):
    """See `evaluate`: 5 sentences of each distance."""
    items = [
        item for d in grammar.DISTANCES for item in grammar.agreement(d, 5, seed=1)
    ]
    lines = [
        " ".join([*before, verb, *after])
        for before, right, wrong, after in items
        for verb in (right, wrong)
    ]
    answers = score_lines(model, words, lines)
    log_probs = [answer["log_prob"] for answer in answers]
    agrees = np.greater(log_probs[::2], log_probs[1::2])
    return 100 * float(np.mean(agrees))


def test_examples(config, words):
    """The test text of the data that `config` names, in the ids of `words`, which need
    not be those of that data."""
    part = data.cut(data.read(config), data.shares(config.split))[-1]
    lines = [data.tokenize(document, words.tokenizer) for document in part]
    return Text(data.streams(lines, words, config.context))


def exported_options(config):
    """How an export writes where the request does not say."""
    return Decode()


def signatures(model, config, words, options):
    """The export's functions by name: see `core.tasks.language.serving.signatures`; and
    `score` is `scorer`'s.

    `encode` puts <EOS> before a text: so a client feeds `step`, with `reset` at it.
    """
    functions = serving.signatures(model, words, **fixed(words, options))
    text = tf.TensorSpec([None], tf.string, "text")
    score = tf.function(scorer(model, words), input_signature=[text])
    return functions | {"score": score}
