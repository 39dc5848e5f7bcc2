"""What vqa reads, and how its figures count."""

import collections
import dataclasses
import io
import json
import os
import pathlib

import pytest
from PIL import Image

from saccade.apps.core.errors import UserError
from saccade.apps.vqa import data, scenes, scores
from saccade.apps.vqa.config import Config

# Builtin questions


@pytest.fixture(scope="module")
def builtin():
    return data.read(Config(builtin_size=300))


def test_pictures_are_in_one_split_and_held_out_questions_in_test_only(builtin):
    parts = [set(p["image"]) for p in (builtin.train, builtin.validation, builtin.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2]
    assert "held out" in builtin.test["type"]
    assert {"one object", "relation"} == set(builtin.train["type"])


def test_answers_of_a_form_are_as_frequent(builtin):
    counts = collections.defaultdict(collections.Counter)
    for question, answers in zip(
        builtin.train["question"], builtin.train["answers"], strict=True
    ):
        counts[" ".join(question.split()[:3])].update(answers)
    for form, found in counts.items():
        if not form.startswith("how many"):  # six seldom have one shape
            assert max(found.values()) < 1.5 * min(found.values()), (form, found)


def test_answers_are_right():
    red = scenes.drawn.Object("red", "circle", 0.2, 0.8, 0.2)
    blue = scenes.drawn.Object("blue", "square", 0.3, 0.6, 0.2)
    green = scenes.drawn.Object("green", "circle", 0.9, 0.1, 0.2)
    scene = [red, blue, green]
    found = {form: scenes.answer(form, red, scene) for form in scenes.QUESTIONS}
    del found["there"]  # asked of colours
    assert found == {
        "shape": "circle",
        "left": "yes",
        "top": "no",
        "nearest": "square",
        "farthest": "circle",
        "count": "2",
    }


# Files


def picture(folder, name, colour="red"):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), colour).save(folder / name)


def lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")


def test_a_table_for_each_split_with_other_names_of_columns(tmp_path):
    picture(tmp_path / "images", "a.png")
    picture(tmp_path / "images", "b.png")
    row = {"question": "what?", "answer": "Yes", "answer_type": "CLOSED"}
    lines(tmp_path / "train.jsonl", [{"image_name": "a.png", **row}])
    lines(tmp_path / "test.jsonl", [{"image_name": "b.png", **row}])
    read = data.read(Config(data=str(tmp_path), split="100/0/0"))
    assert len(read.train) == 1 and len(read.validation) == 0
    assert read.test["image"] == [str(tmp_path / "images" / "b.png")]
    assert read.test["type"] == ["closed"] and read.test["answers"] == [["Yes"]]


def test_validation_is_cut_out_of_training_by_pictures(tmp_path):
    for i in range(40):
        picture(tmp_path, f"{i}.png")
    rows = [
        {"image": f"{i}.png", "question": q, "answer": "yes", "split": "train"}
        for i in range(40)
        for q in ("a?", "b?")
    ]
    lines(tmp_path / "q.jsonl", rows)
    read = data.read(Config(data=str(tmp_path), split_column="split", split="80/20/0"))
    assert 0 < len(read.validation) < len(read.train) and len(read.test) == 0
    assert not set(read.train["image"]) & set(read.validation["image"])


def test_validation_is_cut_out_of_training_by_a_column(tmp_path):
    picture(tmp_path, "a.png")
    rows = [
        {"image": "a.png", "question": f"{i}{q}?", "answer": "yes", "about": f"g{i}"}
        for i in range(40)
        for q in "ab"
    ]
    alone = {"image": "a.png", "answer": "no"}
    rows += [alone | {"question": f"{x}?", "about": x} for x in ("", None)]
    lines(tmp_path / "q.jsonl", rows)
    config = Config(data=str(tmp_path), group_column="about", split="80/20/0")
    read = data.read(config)
    parts = read.train["group"], read.validation["group"]
    assert len(read.validation) and not set.intersection(*map(set, parts))
    assert sum(map(len, parts)) == len(rows)
    # Of the rows that name no group.
    assert {*parts[0], *parts[1]} == {"a.png", *(f"g{i}" for i in range(40))}
    with pytest.raises(UserError, match="group-column"):
        data.read(dataclasses.replace(config, group_column="none"))


def test_easy_vqa(tmp_path):
    for split in ("train", "test"):
        picture(tmp_path / f"{split}_images", "0.png")
        triples = [["what color?", "red", 0], ["is it red?", "yes", 0]]
        (tmp_path / f"{split}_questions.json").write_text(json.dumps(triples))
    read = data.read(Config(data=str(tmp_path), split="100/0/0"))
    assert len(read.train) == 2 and len(read.test) == 2
    assert "test_images" in read.test["image"][0]


def test_vqa_v2_with_ten_answers(tmp_path):
    name = "COCO_train2014_000000000007.jpg"
    picture(tmp_path / "train2014", name)
    questions = [{"image_id": 7, "question": "how many?", "question_id": 1}]
    answers = [{"answer": "2"}] * 7 + [{"answer": "two"}] * 3
    content = {"data_subtype": "train2014", "questions": questions}
    path = tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json"
    path.write_text(json.dumps(content))
    entry = {"question_id": 1, "answers": answers, "answer_type": "number"}
    beside = tmp_path / "v2_mscoco_train2014_annotations.json"
    beside.write_text(json.dumps({"annotations": [entry]}))
    read = data.read(Config(data=str(path), split="100/0/0"))
    assert read.train["answers"] == [["2"] * 7 + ["two"] * 3]
    assert read.train["type"] == ["number"]
    beside.unlink()
    with pytest.raises(UserError, match="expected its answers beside it"):
        data.read(Config(data=str(path)))


@pytest.mark.parametrize(
    "row, error",
    [
        ({"image": "../a.png"}, "lies outside"),
        ({"image": ""}, "name is empty"),
        ({"image": "none.png"}, "there is no picture .*none.png"),
        ({"image": "n" * 300}, "there is no picture"),
        ({"question": " "}, "expected a question"),
        ({"answer": ""}, "the answer is empty"),
        ({"answer": []}, "the answer is empty"),
    ],
)
def test_bad_rows_are_named_and_skipped(tmp_path, row, error):
    picture(tmp_path, "a.png")
    good = {"image": "a.png", "question": "what?", "answer": "yes"}
    lines(tmp_path / "q.jsonl", [good] * 9 + [good | row])
    config = Config(data=str(tmp_path), split="100/0/0")
    with pytest.raises(UserError, match=f"line 10: .*{error}"):
        data.read(config)
    read = data.read(dataclasses.replace(config, skip_bad=True))
    assert len(read.train) == 9


def test_a_broken_picture_is_skipped_with_all_its_questions(tmp_path):
    picture(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(b"torn")
    good = {"image": "a.png", "question": "what?", "answer": "yes"}
    lines(tmp_path / "q.jsonl", [good] * 20 + [good | {"image": "b.png"}] * 2)
    config = Config(data=str(tmp_path), split="100/0/0", skip_bad=True)
    assert len(data.read(config).train) == 20


def test_no_column_of_pictures_names_what_would_do(tmp_path):
    lines(tmp_path / "q.jsonl", [{"photo": "a", "question": "what?", "answer": "yes"}])
    with pytest.raises(UserError, match="image_name.*photo.*--image-column"):
        data.read(Config(data=str(tmp_path)))


# Figures


def leave_one_out(answer, references):
    """VQA accuracy as it is written: over all sets of references but one."""
    shares = []
    for i in range(len(references)):
        others = references[:i] + references[i + 1 :]
        shares.append(min(1, others.count(answer) / 3))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("matches", range(11))
def test_vqa_accuracy(matches):
    references = ["yes"] * matches + ["no"] * (10 - matches)
    expected = leave_one_out("yes", references)
    assert scores.vqa_accuracy("yes", references) == pytest.approx(expected)


def test_figures_by_type():
    found = scores.figures(
        ["Yes.", "two", "no"], [["yes"], ["2"], ["no"]], ["closed", "open", "closed"]
    )
    assert found["closed"] == 100 and found["open"] == 0
    assert found["accuracy"] == pytest.approx(200 / 3)
    assert "vqa_accuracy" not in found  # of one answer each


@pytest.mark.skipif(
    "SACCADE_DATA" not in os.environ, reason="SACCADE_DATA is not set: no real data"
)
def test_vqa_rad_is_split_as_it_comes():
    folder = pathlib.Path(os.environ["SACCADE_DATA"], "vqa_rad")
    read = data.read(Config(data=str(folder)))
    assert len(read.test) == 451
    assert len(read.train) + len(read.validation) == 1797
    assert collections.Counter(read.test["type"]) == {"closed": 272, "open": 179}


def test_the_white_picture_is_one():
    from saccade.apps.vqa.task import white_picture

    assert Image.open(io.BytesIO(white_picture())).getpixel((0, 0)) == (255, 255, 255)
