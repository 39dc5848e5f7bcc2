"""Pictures, questions about them, and answers: builtin ones, or one's own.

`--data` takes

- `builtin`: circles and squares, see `scenes.builtin`;
- a table (`.csv`, `.tsv`, `.jsonl`) with a column of picture files, one of questions
  and one of answers; in `.jsonl` an answer may be a list, as several people gave them;
- a folder with one such table, or with one for each split, named so: `train.jsonl`,
  `val.jsonl` (or `dev`, `valid`, `validation`) and `test.jsonl`;
- VQA v2's questions, a `.json` with `questions` (`image_id`, `question`,
  `question_id`), beside which the answers lie in a file that is called `annotations`
  where the other is called `questions`; or a folder of such pairs. Pictures are
  `COCO_train2014_000000000042.jpg`, after the file's `data_subtype`;
- a folder with easy-VQA's `train_questions.json` and `test_questions.json`, lists of
  `[question, answer, picture]`, and the folders `train_images` and `test_images`.

The pictures lie in a folder `images` or `Images` beside the file, or beside it
themselves; `--image-dir` names another folder. A picture must lie inside of it. All
questions about a picture are in one split, but where the data says otherwise; where it
has no validation, `--split` cuts that out of the training split by pictures. Where test
asks about pictures of training, as VQA-RAD does, validation by pictures is harder than
test; there `--group-column` names a column by whose values rows are kept together.
"""

import functools
import json

from ..core.data import labelled, manifest, splits, tables
from ..core.data.encodings import read_utf8
from ..core.data.places import path_of
from ..core.data.rows import Row
from ..core.errors import UserError
from ..core.inputs import picture_files
from . import scenes

# The names that columns have elsewhere, in the order in which they are looked for.
IMAGE_COLUMNS = (
    "image",
    "image_name",
    "image_path",
    "img_path",
    "file_name",
    "picture",
)
TYPE_COLUMNS = ("answer_type", "question_type", "type")
EXAMPLE = (
    "A table questions.csv with the columns image, a file's name, question and answer "
    "will do."
)


def read(config):
    """Three splits with the columns `image`, `question`, `answers`, a list of str, and
    where the data has it `type`.

    Raises:
        UserError: there are no such files or columns, a row is bad (see `sieve.sift`),
            or none is left to learn from.
    """
    if config.data == "builtin":
        return scenes.builtin(config)
    # Opening all of them takes long; where a bad one stops it, training will.
    error_of = picture_files.error_of if config.skip_bad else picture_files.missing
    rows = with_errors_of_pictures(read_rows(config), error_of)
    named = {splits.split_of(row.split, "", "") for row in rows if row.split}
    for i, row in enumerate(rows):
        if not row.error:
            rows[i] = row._replace(split=split_of(config, row, named))
    return labelled.split_rows(config, rows, "key", "rows", paths=("image",))


def split_of(config, row, named):
    """The split of a row; named: the splits that any row names."""
    train, validation, test = splits.percentages(config.split)
    if row.split is None:
        return splits.by_hash(config.split, row.values["group"])
    name = splits.split_of(row.split, "", "")
    if name != "train" or "validation" in named:
        return name
    # Pictures that are in test, too, may be in training: so it is in VQA-RAD.
    return splits.by_shares(train, validation, 0, row.values["group"])


def with_errors_of_pictures(rows, error_of):
    """The rows with an error at each whose picture has one; each is looked at once."""
    once = functools.cache(lambda path: error_of(path_of(path)))
    return [
        row if row.error else row._replace(error=once(row.values["image"]))
        for row in rows
    ]


def read_rows(config):
    """All rows, also the bad ones: list of `Row`."""
    rows = []
    for path, split in files(config):
        if path.suffix.lower() == ".json":
            rows += read_json(config, path, split)
        else:
            rows += read_table(config, path, split)
    if not rows:
        raise UserError(f"{config.data}: expected at least one question, found none.")
    return rows


def files(config):
    """The files that `config.data` names: list of (path, split or None)."""
    path = path_of(config.data)
    if config.data and path.is_dir():
        found = [p for p in sorted(path.iterdir()) if is_questions(p)]
        parts = [(p, split_in(p.name)) for p in found]
        if len(found) > 1 and all(split for _, split in parts):
            return parts
    endings = (*manifest.TABLES, "questions.json")
    path = manifest.find_file(config.data, endings, (), EXAMPLE, "questions", made="")
    # One table is all of the data, whatever it is called; VQA v2's says what it is.
    return [(path, split_in(path.name) if path.suffix.lower() == ".json" else None)]


def is_questions(path):
    name = path.name.lower()
    return name.endswith(manifest.TABLES) or (
        name.endswith(".json") and "questions" in name
    )


def split_in(name):
    """The split that a file's name tells, as a column would call it, or None."""
    words = name.lower().replace("2014", "").replace("2015", "")
    for mark in "_-.":
        words = words.replace(mark, " ")
    return next((word for word in words.split() if word in splits.NAMES), None)


def folder_of_pictures(config, path):
    return (
        path_of(config.image_dir)
        if config.image_dir
        else manifest.pictures_beside(path)
    )


def read_table(config, path, split):
    """Rows of .csv, .tsv or .jsonl; split: of all of them, or None."""
    wanted = {
        "--question-column": config.question_column,
        "--answer-column": config.answer_column,
    }
    options = {
        "--image-column": config.image_column,
        "--type-column": config.type_column,
        "--group-column": config.group_column,
        "--split-column": config.split_column,
    }
    wanted |= {option: column for option, column in options.items() if column}
    folder, rows = folder_of_pictures(config, path), []
    for record in tables.read(path, wanted):
        if record.error:
            rows.append(Row(record.where, error=record.error))
            continue
        values = record.values
        image = config.image_column or first_of(IMAGE_COLUMNS, values)
        if not image:
            error = (
                f"expected a column of pictures, {' or '.join(IMAGE_COLUMNS)}; the "
                f"columns are: {', '.join(values)}. Name it with --image-column"
            )
            rows.append(Row(record.where, error=error))
            continue
        kind = config.type_column or first_of(TYPE_COLUMNS, values)
        rows.append(
            make_row(
                record.where,
                folder,
                values[image],
                values[config.question_column],
                values[config.answer_column],
                str(values[kind]).strip().lower() if kind else "",
                str(values[config.split_column]) if config.split_column else split,
                group_of(config, values),
            )
        )
    return rows


def group_of(config, values):
    """What a record is split by, "": its picture."""
    group = values[config.group_column] if config.group_column else None
    return "" if group is None else str(group)


def first_of(names, values):
    """The first of names that is a column, or ""."""
    return next((name for name in names if name in values), "")


def make_row(where, folder, picture, question, answers, kind, split, group=""):
    """A `Row`; answers: one or a list of them; group: what it is split by, "": the
    picture."""
    answers = answers if isinstance(answers, list) else [answers]
    answers = [str(a).strip() for a in answers if isinstance(a, str | int | float)]
    path, error = manifest.place(folder, str(picture or ""))
    if not picture:
        error = "the picture's name is empty"
    elif not (isinstance(question, str) and question.strip()):
        error = f"expected a question, received {question!r}"
    elif not any(answers):
        error = "the answer is empty"
    error = error or splits.error_of(split)
    if error:
        return Row(where, error=error)
    values = {
        "image": str(path),
        "question": question.strip(),
        "answers": [answer for answer in answers if answer],
        "type": kind,
        "group": group or str(picture),
        "key": f"{picture} {question}",
    }
    return Row(where, values, split)


def read_json(config, path, split):
    """Rows of easy-VQA's triples, or of VQA v2's questions."""
    content = read_json_file(path)
    if isinstance(content, list):
        images = path.parent / path.name.replace("questions.json", "images")
        folder = path_of(config.image_dir) if config.image_dir else images
        return [
            easy_row(path, i, folder, item, split) for i, item in enumerate(content)
        ]
    questions = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(questions, list):
        raise UserError(
            f"{path}: expected easy-VQA's list of [question, answer, picture], or VQA "
            "v2's questions, an object with `questions`."
        )
    return vqa_rows(config, path, content, split)


def read_json_file(path):
    try:
        return json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected JSON; {error}.") from None


def easy_row(path, index, folder, item, split):
    where = f"{path}, [{index}]"
    if not (isinstance(item, list) and len(item) == 3):
        return Row(where, error="expected [question, answer, picture]")
    question, answer, picture = item
    name = f"{picture}.png" if isinstance(picture, int) else picture
    group = f"{folder.name}/{name}"  # 7.png is another picture in test
    return make_row(where, folder, name, question, answer, "", split, group)


def vqa_rows(config, path, content, split):
    """Questions of VQA v2 with the answers of the annotations beside them."""
    beside = path.with_name(
        path.name.replace("OpenEnded_mscoco_", "mscoco_").replace(
            "questions", "annotations"
        )
    ).name
    found = next(
        (
            path.with_name(n)
            for n in (beside, beside.removeprefix("v2_"))
            if path.with_name(n).is_file()
        ),
        None,
    )
    if found is None:
        raise UserError(f"{path}: expected its answers beside it, in {beside}.")
    annotations = read_json_file(found)
    by_id = {}
    for entry in annotations.get("annotations", ()):
        by_id[entry.get("question_id")] = entry
    subtype = str(content.get("data_subtype", "train2014"))
    folder = folder_of_pictures(config, path)
    if (folder / subtype).is_dir():
        folder /= subtype
    rows = []
    for index, question in enumerate(content["questions"]):
        where = f"{path}, questions[{index}]"
        entry = by_id.get(question.get("question_id"))
        if entry is None or "image_id" not in question:
            rows.append(
                Row(
                    where,
                    error="expected image_id, and an annotation for its question_id",
                )
            )
            continue
        given = entry.get("answers") or [
            {"answer": entry.get("multiple_choice_answer")}
        ]
        answers = [a.get("answer") for a in given]
        name = f"COCO_{subtype}_{int(question['image_id']):012d}.jpg"
        kind = str(entry.get("answer_type", ""))
        rows.append(
            make_row(
                where, folder, name, question.get("question"), answers, kind, split
            )
        )
    return rows


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    if config.data == "builtin":
        return f"--split={config.split} leaves none of its pictures to it"
    if not config.split_column and any(row.split for row in read_rows(config)):
        return f"{config.data} has splits of its own, and no question in test"
    return splits.why_no_test(config, config.group_column or "picture")
