"""Bad input to every app, through both doors: one table, one defined outcome each.

The doors are the signatures of the export and `saccade predict`. What an app is given
follows from what its rows hold: `text` gets TEXTS, `image_bytes` gets PICTURES. A new
app joins by being registered; what its answer to a bad text or picture looks like is
said by `judge_bad` in `expected.EXPECTED`.
"""

import dataclasses
import functools
import io
import json

import numpy as np
import pytest
import tensorflow as tf
import typer.testing
from PIL import Image, ImageOps

from saccade.apps.cli import cli
from saccade.apps.core.errors import UserError

from .answers import assert_same, tensor_of

ANSWER = "an answer"


SUMS = (
    "score",
    "scores",
    "probabilities",
    "attention",
    "saliency",
    "entity_score",
    "distance",
    "alignment",
    "n_best_score",
    "log_prob",
    "embedding",
    "path",
    "stop_scores",
    "bound",
    "recon",
    "kl",
    "canvases",
    "windows",
    "read_windows",
)


@dataclasses.dataclass(frozen=True)
class Text:
    """What happens to a text. A signature answers: to it all bytes are text.

    says: what `saccade predict` says to a file that holds it, ANSWER or an error.
    blank: whether it is empty, or white space: an app may refuse it, see `Expected`.
    """

    content: bytes
    says: str = ANSWER
    blank: bool = dataclasses.field(default=False, kw_only=True)


TEXTS = {
    "empty": Text(b"", "text is empty", blank=True),
    "white space": Text(b" \t\n \r\n", "is empty", blank=True),
    "ideographic spaces": Text("\u3000\u2003\u00a0".encode(), "is empty", blank=True),
    "a megabyte": Text(b"a " * 500_000),
    "a megabyte in one word": Text(b"a" * 1_000_000),
    "no UTF-8": Text(b"\xff\xfe\xc3(", "line 1: byte 0xff is no UTF-8"),
    "no UTF-8 further down": Text(b"a\nb\n\xe9t\xe9", "line 3: byte 0xe9 is no UTF-8"),
    "a character cut in half": Text("猫".encode()[:2], "line 1: byte 0xe7 is no UTF-8"),
    "half a pair": Text(b"\xed\xa0\x80", "is no UTF-8"),
    "UTF-16": Text("a cat".encode("utf-16"), "is no UTF-8"),
    "a NUL byte": Text(b"a cat\0a dog"),
    "NUL bytes": Text(b"a\0b\0\0", "holds NUL bytes"),
    "control characters": Text(b"\x01\x1b[2J\x7f\x08"),
    "emoji": Text("👩🏽‍🚀 😀 🇨🇳".encode()),
    "right to left": Text("שלום עולם‏ مرحبا".encode()),
    "what looks like a token": Text(b"<EOS> <UNK> <pad> </s>"),
    "a byte order mark": Text("\ufeffthe cat".encode()),
}


@dataclasses.dataclass(frozen=True)
class Letters(Text):
    """What happens to a sequence of bases.

    ok: whether a signature answers it; `says`, as above, is then ANSWER.
    """

    ok: bool = False


SEQUENCES = {
    "empty": Letters(b"", "is empty"),
    "white space": Letters(b" \t\n \r\n", "is empty"),
    "a megabyte": Letters(b"ACGT" * 250_000, "expected at most 2000 bases"),
    "no letters of bases": Letters(b"ACGTX", "received 'X' in place 5"),
    "a digit": Letters(b"1 ACGT", "received '1' in place 1"),
    "a gap": Letters(b"AC-GT", "received '-' in place 3"),
    "no UTF-8": Letters(b"\xff\xfe\xc3(", "line 1: byte 0xff is no UTF-8"),
    "UTF-16": Letters("ACGT".encode("utf-16"), "is no UTF-8"),
    "a NUL byte": Letters(b"ACGT\0ACGT" * 30, "holds NUL bytes"),
    "emoji": Letters("😀".encode(), "received '😀' in place 1"),
    "letters that look alike": Letters("АС".encode(), "in place 1"),  # Cyrillic
    "small letters in lines": Letters(b"acgu\nacgt\r\n", ANSWER, True),
    "every letter of IUPAC": Letters(b"ACGTURYSWKMBDHVN", ANSWER, True),
    "one base": Letters(b"A", ANSWER, True),
    "nothing but N": Letters(b"N" * 60, ANSWER, True),
    "the longest": Letters(b"A" * 2000, ANSWER, True),
}


@dataclasses.dataclass(frozen=True)
class Picture:
    """What happens to a picture, through both doors alike.

    ok: whether it is answered; else it is refused, as an app's `judge_bad` says.
    like: the same picture in a plain form, whose answer it must have.
    """

    content: bytes
    ok: bool
    like: bytes | None = None


def encode(picture, form, **how):
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def scene():
    """Smooth colours, no two corners alike."""
    x, y = np.meshgrid(np.linspace(0, 200, 48), np.linspace(0, 200, 36))
    return Image.fromarray(np.stack([x, y, 200 - x], axis=-1).astype(np.uint8))


def turned():
    """A photo that says it was taken with the camera held upright, and it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = encode(scene(), "JPEG", exif=exif)
    lying = Image.fromarray(tf.io.decode_jpeg(contents).numpy())
    lying.getexif()[0x0112] = 6
    return Picture(contents, True, encode(ImageOps.exif_transpose(lying), "PNG"))


def animated(form):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    how = {"lossless": True} if form == "WEBP" else {}
    contents = encode(
        frames[0], form, save_all=True, append_images=frames[1:] * 9, **how
    )
    return Picture(contents, True, encode(frames[0], "PNG"))


@functools.cache
def pictures():
    png, jpeg = encode(scene(), "PNG"), encode(scene(), "JPEG")
    return {
        "zero bytes": Picture(b"", False),
        "a text with the name of a picture": Picture(b"no picture at all", False),
        "a megabyte of zeros": Picture(bytes(1_000_000), False),
        "a signature only": Picture(png[:8], False),
        "a truncated PNG": Picture(png[: len(png) // 2], False),
        "a truncated JPEG": Picture(jpeg[: len(jpeg) // 2], False),
        "an SVG": Picture(b'<svg xmlns="http://www.w3.org/2000/svg"/>', False),
        "a TIFF": Picture(encode(scene(), "TIFF"), False),
        "a decompression bomb": Picture(
            encode(Image.new("1", (20_000, 20_000)), "PNG"), False
        ),
        "1 x 1": Picture(encode(Image.new("RGB", (1, 1), "red"), "PNG"), True),
        "20000 x 1": Picture(encode(Image.new("RGB", (20_000, 1)), "PNG"), True),
        "1 x 20000": Picture(encode(Image.new("RGB", (1, 20_000)), "PNG"), True),
        "an animated GIF": animated("GIF"),
        "an animated WebP": animated("WEBP"),
        "a JPEG of CMYK": Picture(encode(scene().convert("CMYK"), "JPEG"), True),
        "a turned JPEG": turned(),
        "junk behind the end": Picture(png + b"junk" * 100, True, png),
    }


# Bytes of an input where a signature reads all of it; of a sequence, window by window.
CUT = {"text": 20_001, "sequence": 401}
TABLES = {
    "text": lambda: TEXTS,
    "image_bytes": pictures,
    "sequence": lambda: SEQUENCES,
}


@pytest.fixture
def signatures(trained):
    return signatures_of(trained)


def signatures_of(trained):
    """Those of the export but `serving_xla`, which has the same graph around it."""
    every = trained.signatures
    return {key: every[key] for key in every if key != "serving_xla"}


@pytest.fixture
def raw(good):
    """The input that takes what a person has: the first that a row of data holds."""
    name = next((name for name in good if name in TABLES), None)
    assert name, f"make a table of bad input for one of {', '.join(good)}"
    return name


@pytest.fixture
def table(raw):
    return TABLES[raw]()


def send(function, request):
    """The answer to a request, as much of it as the signature takes; arrays."""
    specs = function.structured_input_signature[1]
    inputs = {key: tensor_of(request[key], spec) for key, spec in specs.items()}
    return {key: value.numpy() for key, value in function(**inputs).items()}


def assert_rows(outputs, rows, expected):
    """The rows of `outputs` are `expected`, which may be padded less."""
    got = {key: outputs[key][rows] for key in expected}
    for key, value in expected.items():
        if value.ndim > 1:
            got[key] = got[key][:, : value.shape[1]]
    assert_same(got, expected)


def is_ok(table, case):
    return not isinstance(table[case], Picture) or table[case].ok


# Signatures


def with_neighbours(contents, good, bad, raw):
    """A request of bad contents and good rows: the contents, the good, one content.

    The other parts of a request are those of the first of `bad`: short answers.
    """
    return {
        key: [*contents, *good[raw], contents[0]]
        if key == raw
        else [*[bad[key][0]] * len(contents), *good[key], bad[key][0]]
        for key in good
    }


def assert_finite(outputs, signature):
    for key, value in outputs.items():
        finite = value.dtype.kind != "f" or np.isfinite(value).all()
        assert finite, f"{signature}: {key}"


def test_signatures_define_every_answer_and_neighbours_are_right(
    expected, trained, signatures, good, raw, table
):
    main = trained.run.task.trains
    bad = expected.bad(good)
    whole = [case.content for case in table.values()]
    # Where all of a text is read: more than a prompt's limit, no whole piece.
    cut = [content[: CUT.get(raw)] for content in whole]
    neighbours = slice(len(whole), len(whole) + len(good[raw]))
    requested = 0
    for signature, function in signatures.items():
        specs = function.structured_input_signature[1]
        if raw not in specs:
            continue
        requested += 1
        contents = whole if signature == main else cut
        together = send(function, with_neighbours(contents, good, bad, raw))
        assert_rows(together, neighbours, send(function, good))
        assert_finite(together, signature)
        if signature != main:
            continue
        for row, case in enumerate(table):
            if type(table[case]) is Text:
                blank = table[case].blank and not expected.blank
                refused = blank or expected.refuses(table[case].content)
                assert together["ok"][row] == (not refused), case
            # To texts it is said what the answer is, good or bad.
            if not getattr(table[case], "ok", False):
                expected.judge_bad(together, row)
            else:
                assert together["ok"][row], case
    assert requested


@pytest.mark.slow
def test_megabytes_are_read_to_their_end(expected, trained, good, raw, table):
    """What `test_signatures_...` cuts, through the signatures that read it: whole, or
    where every token is a step of the network, which takes half a minute, more of it
    than any limit lets pass."""
    if raw != "text":
        return
    signatures = signatures_of(trained)
    bad = expected.bad(good)
    whole = [table[case].content for case in table if "megabyte" in case]
    cut = [content[:200_001] for content in whole]
    neighbours = slice(len(whole), len(whole) + len(good[raw]))
    assert whole
    for signature, function in signatures.items():
        if raw in function.structured_input_signature[1]:
            contents = cut if signature == "score" else whole
            together = send(function, with_neighbours(contents, good, bad, raw))
            assert_rows(together, neighbours, send(function, good))
            assert_finite(together, signature)


def test_odd_forms_of_a_picture_are_answered_as_its_plain_form(
    trained, signatures, good, table
):
    cases = [case for case in table.values() if getattr(case, "like", None)]
    if not cases:
        return  # a table of texts
    function = signatures[trained.run.task.trains]
    others = {key: [values[0]] * len(cases) for key, values in good.items()}
    odd = send(function, {**others, "image_bytes": [case.content for case in cases]})
    plain = send(function, {**others, "image_bytes": [case.like for case in cases]})
    assert_rows(odd, slice(None), plain)


def test_no_rows(signatures, good, raw):
    for function in signatures.values():
        if raw in function.structured_input_signature[1]:
            for key, value in send(function, {key: [] for key in good}).items():
                assert len(value) == 0, key


def some(spec, rows=2):
    """Zeros as an input takes them."""
    shape = [rows, *(size or 1 for size in spec.shape[1:])]
    return (
        tf.zeros(shape, spec.dtype) if spec.dtype != tf.string else tf.fill(shape, "")
    )


def test_wrong_types_ranks_and_numbers_of_rows_are_errors_that_name_them(signatures):
    """What a SavedModel would answer wrongly without a word, see `checked`."""
    refused = tf.errors.InvalidArgumentError
    for function in signatures.values():
        specs = function.structured_input_signature[1]
        right = {key: some(spec) for key, spec in specs.items()}
        function(**right)
        for key, spec in specs.items():
            other = tf.int32 if spec.dtype != tf.int32 else tf.string
            wrong = some(tf.TensorSpec(spec.shape, other))
            with pytest.raises(refused, match="was expected to be a .* tensor but"):
                function(**{**right, key: wrong})
            for form in (right[key][0], right[key][None]):
                with pytest.raises(refused, match=f"Shape of tensor {key} .*expected"):
                    function(**{**right, key: form})
            if len(specs) > 1:
                with pytest.raises(refused, match="Expected as many rows of"):
                    function(**{**right, key: some(spec, rows=3)})
            with pytest.raises(TypeError, match=key):
                function(**{k: v for k, v in right.items() if k != key})


# The command line


@pytest.fixture
def predict(name, trained, monkeypatch):
    """`saccade predict` of the app in this process; returns typer's result.

    The run is loaded once for all calls: making its graphs takes seconds.
    """
    loaded = trained.loaded_run

    def load(app, path):
        assert (app, path) == (trained.app, str(loaded.folder))
        return loaded

    monkeypatch.setattr(type(trained.app), "load", load)
    # Texts get short answers.
    fields = {f.name for f in dataclasses.fields(trained.app.Options)}
    short = ["--length=5"] if "length" in fields else []
    main = trained.run.task.trains
    if main != "serving_default":
        short.append(f"--signature={main}")
    # What is asked besides, once for all rows.
    besides = [
        f"--{kind}={trained.good[of.specs(kind)[0].name][0].decode()}"
        for kind, of in list(loaded.task.row_kinds().items())[1:]
    ]

    def call(*words, **options):
        words = [
            *("predict", name, str(loaded.folder)),
            *map(str, words),
            *short,
            *besides,
            "--json",
        ]
        return typer.testing.CliRunner().invoke(cli, words, **options)

    return call


def test_command_line_answers_or_says_why_not(
    expected, table, good, raw, predict, tmp_path
):
    def write(file, content):
        path = tmp_path / file
        path.write_bytes(content)
        return path

    ending = "png" if raw == "image_bytes" else "txt"  # whatever is in it
    first, last = (write(f"good-{i}.{ending}", good[raw][i]) for i in range(2))
    files = [write(f"{i}.{ending}", c.content) for i, c in enumerate(table.values())]
    gone, folder = tmp_path / f"gone.{ending}", tmp_path / "folder"
    folder.mkdir()

    alone = predict(first, last)
    assert alone.exit_code == 0, alone.output
    done = predict(first, *files, gone, folder, last)
    assert done.exit_code == 1, done.output
    # Only a deliberate exit, no exception.
    assert isinstance(done.exception, SystemExit), repr(done.exception)

    answer = [json.loads(line) for line in done.stdout.splitlines()]
    neighbours = [json.loads(line) for line in alone.stdout.splitlines()]
    assert len(answer) == len(files) + 4
    for got, right in zip((answer[0], answer[-1]), neighbours, strict=True):
        assert got.keys() == right.keys()
        for key, value in right.items():
            if key in SUMS:  # other ones in another batch
                np.testing.assert_allclose(got[key], value, rtol=1e-4, atol=1e-5)
            else:
                assert got[key] == value, key

    for (case, row), got in zip(table.items(), answer[1:-3], strict=True):
        if isinstance(row, Picture):
            assert got["ok"] == row.ok, case
        elif row.says == ANSWER:
            why_not = expected.refuses(row.content)
            assert got["ok"] == (not why_not), f"{case}: {got}"
            assert why_not in got.get("error", ""), case
        else:
            assert not got["ok"], f"{case}: {got}"
            assert row.says.removeprefix("text ") in got["error"], case
    assert not answer[-3]["ok"] and not answer[-2]["ok"]


PROMPTS = {
    "empty": "",
    "white space": " \n\t ",
    "a NUL": "a\0b",
    "half an emoji": "a \ud83d",
    "bytes that were no UTF-8": "a \udcff",  # as Python reads a command line
    "emoji": "👩🏽‍🚀 😀",
    "right to left": "שלום עולם",
    "an option": "--help",
    "long": "a " * 50_000,
}


def test_prompts_on_the_command_line(expected, raw, predict):
    if raw != "text":
        done = predict("--prompt", "hello")
        assert isinstance(done.exception, UserError)
        assert "expected a known option, received '--prompt'" in str(done.exception)
        return
    for case, prompt in PROMPTS.items():
        refused = expected.refuses(prompt)
        done = predict("--text", prompt)
        assert done.exit_code == bool(refused), f"{case}: {done.exception!r}"
        answer = json.loads(done.stdout)
        assert answer["ok"] == (not refused), case
        if refused:
            assert refused in answer["error"], case


def test_standard_input(expected, raw, predict, tmp_path):
    """Texts are read from it; where files are read, their names."""
    done = predict("-", input=b"\xff\xfe\n")
    if raw == "text":
        assert isinstance(done.exception, UserError), done.output
        assert "Standard input is no UTF-8" in str(done.exception)
        for content in (b"", b"a\0b", "😀".encode()):
            done = predict("-", input=content)
            refused = expected.refuses(content)
            assert done.exit_code == bool(refused), repr(done.exception)
    else:
        assert isinstance(done.exception, SystemExit | UserError), repr(done.exception)
        assert done.exit_code == 1


def test_names_of_files_that_no_file_can_have(predict, tmp_path):
    for name in ("a\0b", "x" * 5000, "~nobody/x", str(tmp_path) + "/" * 3):
        done = predict(name)
        assert isinstance(done.exception, SystemExit | UserError), repr(done.exception)
        assert done.exit_code == 1
