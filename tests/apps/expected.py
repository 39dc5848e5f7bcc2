"""What the contract needs to know of each app: see `EXPECTED`."""

import dataclasses
import io
import json
import typing

import numpy as np
import pytest
from PIL import Image

from saccade.apps.core.data import tables
from saccade.apps.tagging.config import READ_AT_MOST
from saccade.apps.tagging.task import BY_ENTITY, BY_TOKEN, tokens_of
from saccade.apps.translation.config import LONGEST as TRANSLATED_AT_MOST
from saccade.apps.word_lm import data as word_data
from saccade.apps.word_lm import grammar

# captioning


def captioning_table(folder, splits):
    """The builtin pictures as a user's own: files and a table."""
    rows = []
    for split in ("train", "validation", "test"):
        examples = getattr(splits, split)
        for i, picture in enumerate(examples["image"]):
            (folder / f"{split}-{i}.png").write_bytes(picture)
            for caption in examples["captions"][i]:
                row = {"image": f"{split}-{i}.png", "caption": caption, "split": split}
                rows.append(json.dumps(row))
    (folder / "captions.jsonl").write_text("\n".join(rows), "utf-8")
    return {"data": str(folder), "split_column": "split"}


def picture_requests(splits):
    return different_pictures(splits.test["image"])


def different_pictures(pictures):
    """Four of encoded pictures, the last as a JPEG."""
    pictures = list(dict.fromkeys(pictures))
    png = pictures[:3]
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(pictures[3])).save(jpeg, "JPEG")
    return {"image_bytes": [*png, jpeg.getvalue()]}


def picture_bad(good):
    png, jpeg = good["image_bytes"][0], good["image_bytes"][3]
    draw = np.random.default_rng(0)
    huge_claim = bytearray(png)
    huge_claim[16:24] = (2**30).to_bytes(4, "big") * 2  # width and height
    return {
        "image_bytes": [
            b"",
            b"no picture at all",
            draw.bytes(1000),
            draw.bytes(4_000_000),
            png[: len(png) // 2],
            jpeg[: len(jpeg) // 2],
            png[:8] + draw.bytes(500),
            jpeg[:20] + draw.bytes(500),
            bytes(huge_claim),
            "語 \ud7ff".encode(),
        ]
    }


def captioning_judge_bad(outputs, row):
    assert not outputs["ok"][row]
    assert outputs["caption"][row] == b""
    assert outputs["length"][row] == 0
    assert not outputs["tokens"][row].any()
    assert not outputs["attention"][row].any()
    assert outputs["score"][row] == 0


# faces


def faces_folder(folder, splits):
    """The builtin faces as a user's own: a folder for each split and person."""
    for split in ("train", "validation", "test"):
        examples = getattr(splits, split)
        pairs = zip(examples["image"], examples["label"], strict=True)
        for i, (picture, person) in enumerate(pairs):
            (folder / split / person).mkdir(parents=True, exist_ok=True)
            (folder / split / person / f"{i}.png").write_bytes(picture)
    return {"data": str(folder)}


def faces_requests(splits):
    images = picture_requests(splits)["image_bytes"]
    return {
        "image_bytes": images,
        "other_bytes": images[1:] + images[:1],
        "threshold": [0.0, 0.5, 2.0, 1.0],
    }


def faces_bad(good):
    images = picture_bad(good)["image_bytes"]
    odd = [float("nan"), float("inf"), -1.0, 1e30, 1e-30]
    return {"image_bytes": images, "other_bytes": images, "threshold": 2 * odd}


def faces_judge_bad(outputs, row):
    assert not outputs["ok"][row]
    assert outputs["label"][row] == b"" and outputs["nearest"][row] == b""
    assert outputs["distance"][row] == 0 and outputs["score"][row] == 0
    assert not outputs["embedding"][row].any()


# char_lm


def char_lm_file(folder, splits):
    """The builtin text as a user's own."""
    parts = (splits.train, splits.validation)
    text = "".join(piece for part in parts for _, piece in part)
    (folder / "text.py").write_text(text, "utf-8")
    return {"data": str(folder / "text.py")}


def char_lm_requests(splits):
    return {
        "text": [b"def main(", b"import ", "class Häuser:\n".encode(), b"x"],
        "temperature": [0.0, 0.8, 1.0, 0.5],
        "length": [70, 20, 5, 1],
        "seed": [0, 1, 2**31 - 1, -1],
    }


def char_lm_bad(good):
    texts = [b"", b"\0", b"\xff\xfe\xc3", "語 😀".encode(), b"a" * 100_000]
    rows = len(texts)
    return {
        "text": texts,
        "temperature": [0.0, -1.0, float("nan"), float("inf"), 1e-30],
        "length": [5] * rows,
        "seed": [0] * rows,
    }


def char_lm_judge_bad(outputs, row):
    """Continued all the same, by characters that the model knows."""
    text = outputs["continuation"][row].decode()
    assert len(text) == outputs["length"][row] > 0
    assert "\ufffd" not in text


# word_lm


def word_lm_file(folder, splits):
    """The builtin sentences as a user's own: a text file."""
    lines = grammar.sentences(word_data.BUILTIN_SENTENCES, seed=0)
    (folder / "text.txt").write_text("\n".join(lines), "utf-8")
    return {"data": str(folder / "text.txt")}


def word_lm_requests(splits):
    return {
        **char_lm_requests(splits),
        "text": [b"the cat , which", b"the dogs", b"the cat was old .\nthe", b""],
    }


def word_lm_bad(good):
    bad = char_lm_bad(good)
    return {**bad, "text": [*bad["text"][:-1], b"a " * 30_000]}


def word_lm_judge_bad(outputs, row):
    """Continued all the same, by words that the model knows."""
    assert 0 <= outputs["length"][row]
    assert "<" not in outputs["continuation"][row].decode()


# sentiment


def sentiment_table(folder, splits):
    """The builtin reviews as a user's own: a table with a column of splits."""
    rows = []
    for split in ("train", "validation", "test"):
        examples = getattr(splits, split)
        for text, label in zip(examples["text"], examples["label"], strict=True):
            rows.append({"text": text, "label": label, "split": split})
    tables.write(folder / "reviews.csv", rows)
    return {"data": str(folder), "split_column": "split"}


def sentiment_requests(splits):
    texts = [text.encode() for text in splits.test["text"][:3]]
    return {
        "text": [*texts, "The PRICE is not poor ; 价格 😀 !".encode()],
        "threshold": [0.0, 0.5, 0.9, 1.0],
        "temperature": [1.0, 2.0, 0.5, 1.0],
    }


def sentiment_bad(good):
    long = b"the camera is not bad and " * 5000
    return {
        "text": [b"", b"\0", b"\xff\xfe\xc3", "語 😀".encode(), long],
        "threshold": [0.0, -1.0, 2.0, 0.5, 0.0],
        "temperature": [1.0, 2.0, 0.5, 1.0, 1.0],
    }


def sentiment_judge_bad(outputs, row):
    """Labelled all the same: every text has its likeliest label, where that is likely
    enough; the attention is on the tokens that were read. Of a blank text nothing is
    said."""
    if not outputs["ok"][row]:
        assert outputs["label"][row] == b"" and outputs["score"][row] == 0
        assert not outputs["probabilities"][row].any()
        assert not outputs["tokens"][row].any()
        return
    probabilities = outputs["probabilities"][row]
    assert probabilities.sum() == pytest.approx(1)
    assert outputs["score"][row] == probabilities.max()
    assert outputs["labels"][row].tolist() == [b"negative", b"positive"]
    label = outputs["labels"][row][probabilities.argmax()]
    assert outputs["label"][row] in (label, b"")
    assert outputs["attention"][row].sum() == pytest.approx(1)
    assert not outputs["attention"][row][outputs["tokens"][row] == b""].any()


# dna


def dna_table(folder, splits):
    """The builtin sequences as a user's own: a table with a column of splits, letters
    of all forms."""
    rows, forms = [], (str, str.lower, lambda s: s.replace("T", "U"))
    for split in ("train", "validation", "test"):
        examples = getattr(splits, split)
        for sequence, label in zip(
            examples["sequence"], examples["label"], strict=True
        ):
            text = forms[len(rows) % 3](sequence)
            rows.append({"sequence": text, "label": label, "split": split})
    tables.write(folder / "sequences.csv", rows)
    return {"data": str(folder), "split_column": "split"}


def dna_requests(splits):
    sequences = [sequence.encode() for sequence in splits.test["sequence"][:3]]
    return {"sequence": [*sequences, b"acgu nnry\nACGTTTGACA"]}


def dna_bad(good):
    long = b"ACGT" * 30_000
    return {"sequence": [b"", b" \n", b"ACGX", b"AC\0GT", b"\xff\xfe\xc3", long]}


def dna_judge_bad(outputs, row):
    """Not ok, and nothing is said of it."""
    assert not outputs["ok"][row]
    assert outputs["label"][row] == b"" and outputs["score"][row] == 0
    assert not outputs["probabilities"][row].any()
    assert not outputs["saliency"][row].any()


# digits


def digits_folder(folder, splits):
    """The builtin pictures as a user's own: a folder per class in one per split."""
    for split in ("train", "val", "test"):
        examples = splits.validation if split == "val" else getattr(splits, split)
        for label, name, picture in zip(
            examples["label"], examples["name"], examples["image"], strict=True
        ):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            (folder / split / label / f"{name}.png").write_bytes(picture)
    return {"data": str(folder)}


def digits_judge_bad(outputs, row):
    """Not ok, and nothing is said of it."""
    assert not outputs["ok"][row]
    assert outputs["label"][row] == b"" and outputs["score"][row] == 0
    assert not outputs["probabilities"][row].any()


# glimpse


def glimpse_requests(splits):
    images = picture_requests(splits)
    return images | {"samples": [1, 3, 1, 2], "seed": [0, 1, 2, 3]}


def glimpse_bad(good):
    images = picture_bad(good)["image_bytes"]
    rows = len(images)
    samples = [0, -1, 1, 2, 3, -(2**31), 1, 1, 2, 1]
    return {"image_bytes": images, "samples": samples, "seed": [-1] * rows}


def glimpse_judge_bad(outputs, row):
    """Not ok, and nothing is said of it."""
    assert not outputs["ok"][row]
    assert outputs["label"][row] == b"" and outputs["score"][row] == 0
    assert not outputs["path"][row].any() and not outputs["scores"][row].any()


# tagging


def tagging_folder(folder, splits):
    """The builtin sentences as a user's own: files with both line ends."""
    breaks = {"train": "\n", "dev": "\r\n", "test": "\n"}
    parts = zip(breaks, (splits.train, splits.validation, splits.test), strict=True)
    for name, examples in parts:
        sentences = [
            "".join(
                f"{t}\t{label}\n" for t, label in zip(tokens_of(text), row, strict=True)
            )
            for text, row in zip(examples["text"], examples["labels"], strict=True)
        ]
        text = "\n".join(sentences).replace("\n", breaks[name])
        (folder / f"{name}.conll").write_bytes(text.encode())
    return {"data": str(folder)}


def tagging_requests(splits):
    texts = [text.encode() for text in splits.test["text"][:2]]
    rows = [["王", "刚", "和"], ["李", "明", ""], ["张", "", ""], ["他", "说", "，"]]
    return {
        "text": [*texts, "王刚 和李明去上班了".encode(), "他说，「Zoë 😀".encode()],
        "threshold": [0.0, 0.5, 0.9, 1.0],
        "tokens": np.array([[t.encode() for t in row] for row in rows], object),
    }


def tagging_bad(good):
    long = "王刚和".encode() * 2000
    return {
        "text": [b"", b" \n\t", b"\xff\xfe\xc3", "\0語 😀".encode(), long],
        "threshold": [0.0, -1.0, 2.0, 0.5, 0.0],
        "tokens": [[b"", b""], [b"", b"a"], [b"\xff", b""], [b"a b", b"c"], [b"d"] * 2],
    }


def tagging_judge_bad(outputs, row):
    """Tagged all the same: every token has a label, and what is behind them nothing."""
    real = outputs["tokens"][row] != b""
    assert ((outputs["tags"][row] != b"") == real).all()
    assert not outputs["score"][row][~real].any()
    count = outputs["entity_count"][row]
    assert (outputs["entity"][row][:count] != b"").all()
    assert not outputs["entity_end"][row][count:].any()


# translation


def translation_files(folder, splits):
    """The builtin dates as a user's own: a file per language and part."""
    for name in ("train", "validation", "test"):
        examples = getattr(splits, name)
        targets = [several[0] for several in examples["translations"]]
        for ending, lines in (("any", examples["text"]), ("iso", targets)):
            text = "".join(f"{line}\n" for line in lines)
            (folder / f"{name}.{ending}").write_text(text, "utf-8")
    return {"data": str(folder), "source": "any", "target": "iso"}


def translation_requests(splits):
    texts = [text.encode() for text in splits.test["text"][:3]]
    return {
        "text": [*texts, "2026年11月28日".encode()],
        "translation": [b"2026-11-28", b"2026", b"1", "日".encode()],
        "beam": [1, 2, 5, 99],
        "length_penalty": [0.0, 1.0, 0.6, 2.0],
        "coverage_penalty": [0.0, 0.2, 0.0, 1.0],
        "length": [0, 3, 99, 1],
    }


def translation_bad(good):
    texts = [b"", b" \n\t", b"\xff\xfe\xc3", "\0語 😀".encode(), b"7" * 20_000]
    return {
        "text": texts,
        "translation": [b"2026"] * 4 + [b"7" * 20_000],
        "beam": [5, 0, -1, 1, 5],
        "length_penalty": [1.0, -1.0, float("nan"), 0.0, 1.0],
        "coverage_penalty": [0.0, -1.0, 0.0, float("nan"), 0.0],
        "length": [0, -3, 2**31 - 1, 5, 0],
    }


def translation_judge_bad(outputs, row):
    """Text of one token at least, or nothing of what cannot be read."""
    if outputs["ok"][row]:
        assert outputs["tokens"][row][0] != b""
    else:
        assert not outputs["translation"][row]
        assert not outputs["score"][row].any()


# vqa


def vqa_table(folder, splits):
    """The builtin questions as a user's own: files and a table."""
    rows, files = [], {}
    for split in ("train", "validation", "test"):
        examples = getattr(splits, split)
        for i, picture in enumerate(examples["image"]):
            file = files.setdefault(picture, f"{len(files)}.png")
            (folder / file).write_bytes(picture)
            rows.append(
                {
                    "image": file,
                    "question": examples["question"][i],
                    "answer": examples["answers"][i][0],
                    "type": examples["type"][i],
                    "split": split,
                }
            )
    tables.write(folder / "questions.jsonl", rows)
    return {"data": str(folder), "split_column": "split"}


def vqa_requests(splits):
    questions = [text.encode() for text in splits.test["question"][:4]]
    choices = [[b"yes", b"no"], [b"circle", b"square"], [b"2", b""], [b"Yes", b"?"]]
    return {
        "image_bytes": different_pictures(splits.test["image"])["image_bytes"],
        "question": questions,
        "choices": list(np.array(choices, object)),
    }


def vqa_bad(good):
    images = picture_bad(good)["image_bytes"]
    texts = [b"what?", b"", b"\0", b"\xff\xfe\xc3", "語 😀".encode(), b"a " * 5000]
    questions = [texts[i % len(texts)] for i in range(len(images))]
    choices = [[b"yes", b"no"]] * len(images)
    return {"image_bytes": images, "question": questions, "choices": choices}


def vqa_judge_bad(outputs, row):
    assert not outputs["ok"][row]
    assert outputs["answer"][row] == b"" and outputs["score"][row] == 0
    assert not outputs["attention"][row].any() and not outputs["scores"][row].any()


# draw


def draw_folder(folder, splits):
    """The builtin glyphs as a user's own: a folder for each split, and a label."""
    for split in ("train", "validation", "test"):
        (folder / split / "glyph").mkdir(parents=True)
        for i, picture in enumerate(getattr(splits, split)["image"]):
            (folder / split / "glyph" / f"{i}.png").write_bytes(picture)
    return {"data": str(folder)}


def draw_requests(splits):
    images = picture_requests(splits)["image_bytes"]
    return {
        "seed": [0, 1, 7, 2**31 - 1],
        "image_bytes": images,
        "other_bytes": images[1:] + images[:1],
        "temperature": [1.0, 0.0, 0.5, 1.5],
    }


def draw_bad(good):
    images = picture_bad(good)["image_bytes"]
    return {
        "seed": [-1, -(2**31)] * 5,
        "image_bytes": images,
        "other_bytes": images,
        "temperature": 2 * [float("nan"), float("inf"), -1.0, 1e30, 1e-30],
    }


def draw_judge_bad(outputs, row):
    assert not outputs["ok"][row]
    assert outputs["png_bytes"][row] == b""
    assert not outputs["canvases"][row].any() and not outputs["windows"][row].any()


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the contract expects of an app.

    parameters: of `tiny` on `builtin`.
    small: settings that make the data small where nothing must be learned.
    real: function (folder, splits) that writes the builtin data as a user's own and
        returns the settings that read it.
    outputs: by signature.
    requests: function (splits) -> good requests, input name -> list; the first is what
        `predict` takes.
    bad: function (good requests) -> bad ones, likewise.
    judge_bad: function (outputs, row) that asserts the defined answer to a bad one.
    blank: whether a text of white space, or none at all, is answered.
    most: bytes of a text at most that are answered; 0: all.
    """

    parameters: int
    small: dict[str, typing.Any]
    real: typing.Callable
    outputs: dict[str, set[str]]
    requests: typing.Callable
    bad: typing.Callable
    judge_bad: typing.Callable
    blank: bool = True
    most: int = 0

    def refuses(self, content):
        """Why a text, str or bytes, is not answered, or ""."""
        if not (content.strip() or self.blank):
            return "the text is empty or white space"
        if self.most and len(content) > self.most:
            return f"expected at most {self.most:,} bytes"
        return ""


CAPTION = {"caption", "pieces", "score", "tokens", "length", "ok", "attention"}
WRITTEN = {"continuation", "length", "ok"}
NAMED = {"label", "nearest", "distance", "score", "embedding", "ok"}
LABEL = {"label", "score", "probabilities", "labels", "ok"}
PAINTED = {"png_bytes", "canvases", "windows", "ok"}
VERDICT = LABEL | {"tokens", "start", "end", "attention"}
ALIGNED = {"tokens", "source_tokens", "alignment", "ok"}
TRANSLATED = ALIGNED | {
    "translation",
    "score",
    "log_prob",
    "n_best",
    "n_best_score",
    "ended",
}
TAGGED = {"source", *BY_TOKEN, *BY_ENTITY, "entity_count", "ok"}
ANSWERED = {"answer", "score", "scores", "attention", "ok"}
EXPECTED = {
    "captioning": Expected(
        parameters=139_105,
        small={"builtin_size": 40},
        real=captioning_table,
        outputs={"serving_default": CAPTION, "serving_xla": CAPTION},
        requests=picture_requests,
        bad=picture_bad,
        judge_bad=captioning_judge_bad,
    ),
    "faces": Expected(
        parameters=132_208,
        small={"builtin_size": 4},
        real=faces_folder,
        outputs={
            "serving_default": NAMED,
            "with_options": NAMED,
            "serving_xla": NAMED,
            "verify": {"distance", "same", "ok"},
            "embed": {"embedding", "ok"},
        },
        requests=faces_requests,
        bad=faces_bad,
        judge_bad=faces_judge_bad,
    ),
    "char_lm": Expected(
        parameters=48_033,
        small={"data": "hello", "steps_per_call": 2},
        real=char_lm_file,
        outputs={
            "serving_default": WRITTEN,
            "with_options": WRITTEN,
            "serving_xla": WRITTEN,
            "score": {"log_prob", "length", "ok"},
            "step": {"logits", "level_0_h", "level_0_c", "ok"},
            "encode": {"tokens", "length", "ok"},
            "decode": {"text", "before", "ok"},
        },
        requests=char_lm_requests,
        bad=char_lm_bad,
        judge_bad=char_lm_judge_bad,
    ),
    "word_lm": Expected(
        parameters=39_360,
        small={"steps_per_call": 2},
        real=word_lm_file,
        outputs={
            "serving_default": WRITTEN,
            "with_options": WRITTEN,
            "serving_xla": WRITTEN,
            "score": {"log_prob", "length", "unknown", "rank_score", "ok"},
            "step": {"logits", "level_0_h", "level_0_c", "ok"},
            "encode": {"tokens", "length", "ok"},
            "decode": {"text", "before", "ok"},
        },
        requests=word_lm_requests,
        bad=word_lm_bad,
        judge_bad=word_lm_judge_bad,
    ),
    "sentiment": Expected(
        parameters=8_346,
        small={"builtin_size": 300},
        real=sentiment_table,
        outputs={
            "serving_default": VERDICT,
            "with_options": VERDICT,
            "serving_xla": VERDICT,
            "explain": VERDICT | {"occlusion", "after"},
        },
        requests=sentiment_requests,
        bad=sentiment_bad,
        judge_bad=sentiment_judge_bad,
        blank=False,
    ),
    "dna": Expected(
        parameters=8_187,
        small={"builtin_size": 300},
        real=dna_table,
        outputs={
            "serving_default": LABEL | {"saliency"},
            "serving_xla": LABEL | {"saliency"},
            "mutate": LABEL | {"saliency", "effect", "bases"},
            "scan": LABEL | {"start", "windows"},
        },
        requests=dna_requests,
        bad=dna_bad,
        judge_bad=dna_judge_bad,
    ),
    "digits": Expected(
        parameters=26_698,
        small={"builtin_size": 300},
        real=digits_folder,
        outputs={
            "serving_default": LABEL,
            "serving_xla": LABEL,
            "filters": {"sobel", "scharr", "magnitude", "ok"},
        },
        requests=picture_requests,
        bad=picture_bad,
        judge_bad=digits_judge_bad,
    ),
    "vqa": Expected(
        parameters=161_975,
        small={"builtin_size": 60},
        real=vqa_table,
        outputs={
            "serving_default": ANSWERED | {"answers"},
            "serving_xla": ANSWERED | {"answers"},
            "choose": ANSWERED,
        },
        requests=vqa_requests,
        bad=vqa_bad,
        judge_bad=vqa_judge_bad,
    ),
    "glimpse": Expected(
        parameters=21_550,
        small={"builtin_size": 300},
        real=digits_folder,
        outputs={
            "serving_default": LABEL | {"path", "scores"},
            "with_options": LABEL | {"path", "scores"},
            "serving_xla": LABEL | {"path", "scores"},
        },
        requests=glimpse_requests,
        bad=glimpse_bad,
        judge_bad=glimpse_judge_bad,
    ),
    "draw": Expected(
        parameters=38_026,
        small={"builtin_size": 200},
        real=draw_folder,
        outputs={
            "serving_default": PAINTED,
            "with_options": PAINTED,
            "serving_xla": PAINTED,
            "reconstruct": PAINTED | {"bound", "recon", "kl", "read_windows"},
            "interpolate": {"between", "png_bytes", "ok"},
        },
        requests=draw_requests,
        bad=draw_bad,
        judge_bad=draw_judge_bad,
    ),
    "tagging": Expected(
        parameters=13_682,
        small={"builtin_size": 300},
        real=tagging_folder,
        outputs={
            "serving_default": TAGGED,
            "with_options": TAGGED,
            "serving_xla": TAGGED,
            "cut": TAGGED,
            "n_best": {"tokens", "tags", "score", "ok"},
        },
        requests=tagging_requests,
        bad=tagging_bad,
        judge_bad=tagging_judge_bad,
        most=READ_AT_MOST,
    ),
    "translation": Expected(
        parameters=273_919,
        small={"builtin_size": 300},
        real=translation_files,
        outputs={
            "serving_default": TRANSLATED,
            "with_options": TRANSLATED,
            "serving_xla": TRANSLATED,
            "score": ALIGNED | {"log_prob", "token_log_prob"},
        },
        requests=translation_requests,
        bad=translation_bad,
        judge_bad=translation_judge_bad,
        blank=False,
        most=TRANSLATED_AT_MOST,
    ),
}
