"""Pairs of files, tables and builtin dates."""

import collections
import datetime
import gzip
import hashlib
import json
import logging
import re
import types

import pytest

from saccade.apps.core.data import splits as core_splits
from saccade.apps.core.errors import UserError
from saccade.apps.translation import data, dates


def config(path="builtin", **fields):
    defaults = {
        "source": "en",
        "target": "de",
        "columns": "",
        "split_column": "",
        "split": "90/5/5",
        "skip_bad": False,
        "bad_at_most": 5.0,
        "builtin_size": 400,
    }
    return types.SimpleNamespace(data=str(path), **(defaults | fields))


def write(folder, files):
    """Files by their names: str, or list of lines; packed where the name says so."""
    for name, text in files.items():
        text = text if isinstance(text, str) else "".join(f"{s}\n" for s in text)
        content = text.encode()
        packed = gzip.compress(content) if name.endswith(".gz") else content
        (folder / name).write_bytes(packed)
    return folder


def pairs(examples):
    """A set of (sentence, its translations)."""
    return {
        (text, *translations)
        for text, translations in zip(
            examples["text"], examples["translations"], strict=True
        )
    }


def parts(splits):
    return [pairs(part) for part in (splits.train, splits.validation, splits.test)]


def read_parts(path, **fields):
    return parts(data.read(config(path, **fields)))


def corpus(name="train"):
    """Two files of a part, in which the same lines say the same."""
    return {f"{name}.en": [f"{name} one"], f"{name}.de": [f"{name} eins"]}


CORPUS = corpus("train") | corpus("val") | corpus("test")
READ = [{(f"{name} one", f"{name} eins")} for name in ("train", "val", "test")]


# Pairs of files


def test_a_folder_of_pairs(tmp_path):
    write(tmp_path, CORPUS | {"README.md": "about them", "README.en": "the same"})
    write(tmp_path, {"._train.en": "what a file system left"})
    assert read_parts(tmp_path) == READ


def test_a_file_beside_the_same_one_packed(tmp_path):
    write(tmp_path, CORPUS | {"train.en.gz": "another\nlength\n"})
    assert read_parts(tmp_path) == READ


@pytest.mark.parametrize("validation", ["dev", "valid", "validation", "Val_2016"])
def test_names_of_validation(validation, tmp_path):
    write(tmp_path, corpus("train") | corpus("test") | corpus(validation))
    expected = {(f"{validation} one", f"{validation} eins")}
    assert read_parts(tmp_path) == [READ[0], expected, READ[2]]


def test_a_name_that_only_begins_as_a_part_is_of_none(tmp_path):
    write(tmp_path, CORPUS | corpus("testimony") | corpus("devil"))
    assert read_parts(tmp_path) == READ


def test_source_and_target_may_be_exchanged(tmp_path):
    write(tmp_path, CORPUS)
    found = read_parts(tmp_path, source="de", target="en")
    assert found[0] == {("train eins", "train one")}


@pytest.mark.parametrize("packed", [".en", ".de", ".en .de"])
def test_gzip(packed, tmp_path):
    files = {}
    for name, text in CORPUS.items():
        files[name + ".gz" * (name[-3:] in packed.split())] = text
    write(tmp_path, files)
    assert read_parts(tmp_path) == READ


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r", "  ", "\xa0"]
)
def test_only_line_ends_cut_a_sentence(sign, end, tmp_path):
    english, german = f"one{sign}two", f"eins{sign}zwei"
    write(
        tmp_path,
        CORPUS
        | {
            "train.en": f"\ufeff{english}{end}next{end}",
            "train.de": f" {german} {end}weiter",
        },
    )
    assert read_parts(tmp_path)[0] == {(english, german), ("next", "weiter")}


def test_several_translations_are_joined_and_equal_ones_come_once(tmp_path):
    english = ["Hi.", "Bye.", "Hi. ", "Hi."]
    german = ["Hallo.", "Tschüss.", "Grüß Gott.", "Hallo."]
    write(tmp_path, CORPUS | {"train.en": english, "train.de": german})
    assert read_parts(tmp_path)[0] == {
        ("Hi.", "Hallo.", "Grüß Gott."),
        ("Bye.", "Tschüss."),
    }


def test_the_order_is_by_a_hash_and_not_that_of_the_file(tmp_path):
    english = [f"{i:02}" for i in range(50)]
    write(tmp_path, CORPUS | {"train.en": english, "train.de": english})
    found = data.read(config(tmp_path)).train["text"]
    assert sorted(found) == english and found != english
    write(tmp_path, {"train.en": english[::-1], "train.de": english[::-1]})
    assert data.read(config(tmp_path)).train["text"] == found


def test_several_files_of_a_part(tmp_path, caplog):
    write(tmp_path, corpus("train_a") | corpus("train_b") | corpus("val"))
    write(tmp_path, corpus("test_2016_flickr") | corpus("test_2017_flickr"))

    with caplog.at_level(logging.INFO, "saccade"):
        train, _, test = read_parts(tmp_path)

    assert train == {("train_a one", "train_a eins"), ("train_b one", "train_b eins")}
    assert test == {("test_2016_flickr one", "test_2016_flickr eins")}
    (record,) = caplog.records
    other = tmp_path / "test_2017_flickr"
    assert record.getMessage() == (
        f"{tmp_path}: read test_2016_flickr, train_a, train_b, val; left out "
        f"test_2017_flickr. `saccade evaluate translation RUN --data {other}` measures "
        "another."
    )
    assert read_parts(other) == [
        set(),
        set(),
        {("test_2017_flickr one", "test_2017_flickr eins")},
    ]


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, caplog):
    write(tmp_path, CORPUS)
    with caplog.at_level(logging.INFO, "saccade"):
        data.read(config(tmp_path))
    assert not caplog.records


def test_what_has_no_part_is_left_out_beside_what_has(tmp_path, caplog):
    write(tmp_path, CORPUS | corpus("books"))
    with caplog.at_level(logging.INFO, "saccade"):
        assert read_parts(tmp_path) == READ
    assert caplog.messages == [
        f"{tmp_path}: read test, train, val; left out books.",
    ]


@pytest.mark.parametrize("name", ["test_2017", "test_2017_flickr"])
def test_the_beginning_of_names(name, tmp_path):
    write(tmp_path, CORPUS | corpus("test_2017_flickr"))
    found = read_parts(tmp_path / name)
    assert found == [set(), set(), {("test_2017_flickr one", "test_2017_flickr eins")}]


@pytest.mark.parametrize("place, name", [(0, "train"), (1, "val"), (2, "test")])
def test_a_part_alone(place, name, tmp_path):
    """test is also the beginning of test_2017, but is a name itself."""
    write(tmp_path, CORPUS | corpus("test_2017"))
    found = read_parts(tmp_path / name)
    assert found[place] == READ[place]
    assert sum(map(len, found)) == 1


def many(count=400):
    """Lines of two languages, of which some sentences come several times."""
    return [f"s {i % 300}" for i in range(count)], [f"t {i}" for i in range(count)]


@pytest.mark.parametrize("names", [["books"], ["train"], ["books", "news"]])
def test_a_hash_splits_what_has_no_part(names, tmp_path):
    english, german = many()
    half = len(english) // len(names)
    for i, name in enumerate(names):
        rows = slice(i * half, (i + 1) * half)
        write(tmp_path, {f"{name}.en": english[rows], f"{name}.de": german[rows]})

    found = read_parts(tmp_path, split="60/20/20")

    texts = [{text for text, *_ in part} for part in found]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 300
    assert all(30 < len(part) < 210 for part in texts)
    assert sum(len(row) - 1 for part in found for row in part) == 400
    for name, part in zip(("train", "validation", "test"), texts, strict=True):
        assert {core_splits.by_hash("60/20/20", text) for text in part} == {name}


def test_the_beginning_of_a_pair_that_has_no_part(tmp_path):
    english, german = many()
    write(tmp_path, {"books.en": english, "books.de": german} | corpus("train"))
    found = read_parts(tmp_path / "bo", split="60/20/20")
    assert all(len(part) > 30 for part in found) and sum(map(len, found)) == 300


def test_what_has_no_part_is_left_out_beside_training_pairs(tmp_path, caplog):
    english, german = many()
    write(tmp_path, {"train.en": english, "train.de": german} | corpus("books"))
    with caplog.at_level(logging.INFO, "saccade"):
        found = read_parts(tmp_path, split="60/20/20")
    assert all(len(part) > 30 for part in found) and sum(map(len, found)) == 300
    assert caplog.messages == [f"{tmp_path}: read train; left out books."]


# Tables

ROWS = [("Hi.", "嗨。"), ("Run.", "跑！")]
SPLIT = [("a", "甲", "train"), ("b", "乙", "dev"), ("c", "丙", "test")]


def table(rows, mark="\t", end="\n"):
    return "".join(mark.join(row) + end for row in rows)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["", "BOM"])
@pytest.mark.parametrize(
    "head, columns, rows",
    [
        ([("en", "zh")], "", ROWS),
        ([("zh", "en")], "", [row[::-1] for row in ROWS]),
        ([("id", "zh", "en")], "", [("7", *row[::-1]) for row in ROWS]),
        ([("zh", "en")], "en,zh", [row[::-1] for row in ROWS]),
        ([], "", ROWS),
        ([], "", [(*row, "1", "CM", "2") for row in ROWS]),
        ([], "en,zh", [(*row, "1", "CM", "2") for row in ROWS]),
        ([], "zh, en", [(*row[::-1], "1", "CM", "2") for row in ROWS]),
        ([], "id,zh,en", [("7", *row[::-1]) for row in ROWS]),
        ([], "", [(*ROWS[0], "1"), ROWS[1]]),
    ],
)
@pytest.mark.parametrize(
    "ending, mark", [(".tsv", "\t"), (".csv", ","), (".tsv.gz", "\t")]
)
def test_tables(ending, mark, head, columns, rows, start, end, tmp_path):
    text = start + table(head + rows, mark, end)
    write(tmp_path, {"train" + ending: text, "val" + ending: text})
    found = read_parts(tmp_path, target="zh", columns=columns)
    assert found == [set(ROWS), set(ROWS), set()]


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c"])
@pytest.mark.parametrize("ending, mark", [(".tsv", "\t"), (".csv", ",")])
def test_only_line_ends_cut_a_row(ending, mark, sign, tmp_path):
    rows = [(f"a{sign}b", f"甲{sign}乙"), ROWS[0]]
    write(tmp_path, {f"train{ending}": table(rows, mark)})
    found = read_parts(tmp_path, target="zh", split="100/0/0")
    assert found[0] == set(rows)


def test_json_lines(tmp_path):
    rows = [{"zh": zh, "en": en, "n": 1} for en, zh in ROWS]
    text = "\n\n".join(map(json.dumps, rows))
    write(tmp_path, {"train.jsonl": text, "test.jsonl": text})
    assert read_parts(tmp_path, target="zh") == [set(ROWS), set(), set(ROWS)]


def test_a_table_is_split_by_a_hash(tmp_path):
    rows = list(zip(*many(), strict=True))
    write(tmp_path, {"train.tsv": table(rows)})

    found = read_parts(tmp_path, split="60/20/20")

    assert found == read_parts(tmp_path / "train.tsv", split="60/20/20")
    texts = [{text for text, *_ in part} for part in found]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 300
    assert all(len(part) > 30 for part in texts)


def test_a_table_of_test_is_all_of_that_split(tmp_path):
    write(tmp_path, {"train.tsv": table(ROWS), "test_2.tsv": table(SPLIT)})
    found = read_parts(tmp_path / "test_2.tsv", target="zh")
    assert found == [set(), set(), {row[:2] for row in SPLIT}]


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.jsonl", "test.tsv"])
def test_split_column(name, tmp_path):
    head = ("en", "zh", "part")
    text = table([head, *SPLIT])
    if name.endswith(".jsonl"):
        text = "\n".join(json.dumps(dict(zip(head, r, strict=True))) for r in SPLIT)
    write(tmp_path, {name: text})
    found = read_parts(tmp_path / name, target="zh", split_column="part")
    assert found == [{row[:2]} for row in SPLIT]


# What is wrong


BAD = {
    "no partner": (
        CORPUS | {"test_2.en": "a\n"},
        {},
        r"test_2\.en: expected test_2\.de or test_2\.de\.gz beside it, found en of",
    ),
    "no such language": (
        CORPUS,
        {"target": "fr"},
        r"test\.en: expected test\.fr .*found de, en .* mend --source and --target",
    ),
    "none of the languages": (
        CORPUS,
        {"source": "cs", "target": "fr"},
        r"expected files as train\.cs and train\.fr, or a table \(.*found test\.de, t",
    ),
    "an empty folder": ({}, {}, "expected files as train.en .* found nothing"),
    "counts": (
        CORPUS | {"val.en": "a\nb\n"},
        {"skip_bad": True},
        r"as many lines.*val\.en has 2 and .*val\.de has 1\. Take both",
    ),
    "no language": (
        CORPUS,
        {"source": "", "target": ""},
        "name both languages with --source and --target.*'' and ''.*end in: de, en",
    ),
    "one language": (CORPUS, {"target": ""}, "name both languages.*'en' and ''"),
    "an empty source": (
        CORPUS | {"train.en": "a\n \n", "train.de": "a\nb\n"},
        {},
        r"train\.en, line 2: expected a sentence in en, received ' '\. \(--skip-bad",
    ),
    "an empty target": (
        CORPUS | {"train.en": "a\nb\n", "train.de": "a\n\n"},
        {},
        r"train\.de, line 2: expected a sentence in de, received ''",
    ),
    "no UTF-8": (
        {f"train.{language}.gz": "a\n" for language in ("en", "de")},
        {"wrong": "train.de.gz"},
        r"train\.de\.gz, line 2: byte 0xe4 is no UTF-8",
    ),
    "empty files": (
        {"train.en": "", "train.de": ""},
        {},
        "expected at least one row, found none",
    ),
    "no training": (
        corpus("val") | corpus("test"),
        {},
        "falls into the training split",
    ),
    "a column of pairs": (
        CORPUS,
        {"split_column": "part"},
        "--split-column expected a t",
    ),
    "too few columns": (
        {"a.tsv": "a\tb\nc\n"},
        {},
        r"a\.tsv, line 2: expected 2 columns or more, received 1\. \(--skip-bad",
    ),
    "too few columns with a header": (
        {"a.tsv": "en\tde\tx\nc\td\n"},
        {},
        r"a\.tsv, line 2: expected 3 columns like the header's, received 2",
    ),
    "an empty cell": (
        {"a.tsv": "a\tb\nc\t\t1\n"},
        {},
        r"a\.tsv, line 2: expected a sentence in de, received ''",
    ),
    "a number in JSON": (
        {"a.jsonl": '{"en": 5, "de": "b"}\n'},
        {},
        r"a\.jsonl, line 1: expected a sentence in en, received 5",
    ),
    "half a character in JSON": (
        {"a.jsonl": '{"en": "\\ud800", "de": "b"}\n'},
        {},
        r"a\.jsonl, line 1: expected a sentence in en",
    ),
    "a key": (
        {"a.jsonl": '{"en": "a"}\n'},
        {},
        r"a\.jsonl, line 1: expected a column 'de' \(--target\)",
    ),
    "columns": (
        {"a.tsv": "a\tb\n"},
        {"columns": "en,fr"},
        "--columns expected .* with en and de, as in en,de; received 'en,fr'",
    ),
    "a split column without a header": (
        {"a.tsv": "a\tb\ttrain\n"},
        {"split_column": "part"},
        r"a\.tsv, line 1: .*'part' \(--split-column\); the columns are: a, b, train",
    ),
    "no such split": (
        {"a.tsv": "en\tde\tpart\na\tb\tlearn\n"},
        {"split_column": "part"},
        r"a\.tsv, line 2: expected train, val or test .* received 'learn'",
    ),
    "several tables": (
        {"a.tsv": "a\tb\n", "b.tsv": "a\tb\n"},
        {},
        r"expected one table, .* found a\.tsv, b\.tsv\. Name one with --data",
    ),
    "several tables with a split column": (
        {name: table([("en", "de", "part"), *SPLIT]) for name in ("a.tsv", "b.tsv")},
        {"split_column": "part"},
        r"expected one table, .* found a\.tsv, b\.tsv",
    ),
    "two tables of train": (
        {"train.csv": "a,b\n", "train.tsv": "a\tb\n"},
        {},
        r"expected one table, .* found train\.csv, train\.tsv",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name, tmp_path):
    files, fields, message = BAD[name]
    write(tmp_path, files)
    fields = dict(fields)
    if wrong := fields.pop("wrong", ""):
        (tmp_path / wrong).write_bytes(gzip.compress(b"a\nb\xe4r\n"))
    with pytest.raises(UserError, match=message):
        data.read(config(tmp_path, **fields))


@pytest.mark.parametrize(
    "name, message",
    [
        ("", "--data expected builtin, a folder.*received nothing"),
        ("nowhere", "FOLDER/test for test.en and test.de; there is no .*nowhere"),
        ("no/where", "there is no .*where"),
        ("\0", "there is no"),
        ("train.en", "train.en is a file of another kind.* --data .*train\\."),
        ("te", "one pair of files; with .*te begin test, test_2"),
    ],
)
def test_places_that_hold_nothing(name, message, tmp_path):
    write(tmp_path, CORPUS | corpus("test_2"))
    path = tmp_path / name if name else ""
    with pytest.raises(UserError, match=message):
        data.read(config(path))


def test_bad_pairs_are_counted_not_lost(tmp_path, caplog):
    english = [f"s {i}" for i in range(39)] + [""]
    write(tmp_path, CORPUS | {"train.en": english, "train.de": english[:-1] + ["t"]})

    with caplog.at_level(logging.WARNING):
        found = read_parts(tmp_path, skip_bad=True)

    assert [len(part) for part in found] == [39, 1, 1]
    assert "Skipped 1 of 42 pairs" in caplog.text
    assert "train.en, line 40: expected a sentence in en" in caplog.text
    with pytest.raises(UserError, match="1 of 42 pairs are bad.*--bad-at-most=2"):
        read_parts(tmp_path, skip_bad=True, bad_at_most=2.0)


@pytest.mark.parametrize(
    "files, name, why",
    [
        (corpus("train") | corpus("val"), "", "no file in .* that begins with test"),
        (corpus("val"), "val", "val is all of the validation split"),
        ({"a.tsv": "a\tb\n"}, "", "--split=90/5/5 gives it no sentence of"),
    ],
)
def test_why_no_test(files, name, why, tmp_path):
    write(tmp_path, files)
    where = config(tmp_path / name)
    assert len(data.read(where).test) == 0
    assert re.search(why, data.why_no_test(where))


def test_why_a_column_leaves_no_test(tmp_path):
    """What the table is called does not matter then."""
    write(tmp_path, {"test.tsv": table([("en", "zh", "part"), *SPLIT[:2]])})
    where = config(tmp_path / "test.tsv", target="zh", split_column="part")
    assert list(map(len, parts(data.read(where)))) == [1, 1, 0]
    assert "has test in the column 'part'" in data.why_no_test(where)


# Dates

EXAMPLES = {
    "en-US": ["Sunday, November 8, 2026", "Nov 8, 2026", "en-US 11/08/2026"],
    "en-GB": ["Sunday, 8 November 2026", "8 Nov 2026", "en-GB 08/11/2026"],
    "de": ["Sonntag, 8. November 2026", "8. Nov. 2026", "08.11.2026"],
    "fr": ["dimanche 8 novembre 2026", "8 nov. 2026", "fr 08/11/2026"],
    "es": ["domingo, 8 de noviembre de 2026", "8 nov 2026", "es 8/11/2026"],
    "it": ["domenica 8 novembre 2026", "8 nov 2026", "it 08/11/2026"],
    "nl": ["zondag 8 november 2026", "8 nov 2026", "nl 08-11-2026"],
    "pt": ["domingo, 8 de novembro de 2026", "8 de nov. de 2026", "pt 08/11/2026"],
    "pl": ["niedziela, 8 listopada 2026", "8 lis 2026", "8.11.2026"],
    "ru": ["воскресенье, 8 ноября 2026 г.", "8 нояб. 2026 г.", "08.11.2026"],
    "sv": ["söndag 8 november 2026", "8 nov. 2026", "2026-11-08"],
    "tr": ["8 Kasım 2026 Pazar", "8 Kas 2026", "08.11.2026"],
    "zh": ["2026年11月8日星期日", "2026年11月8日", "2026/11/8"],
    "ja": ["2026年11月8日日曜日", "2026年11月8日(日曜日)", "2026/11/08"],
    "ar": ["الأحد، ٨ نوفمبر ٢٠٢٦", "٨ نوفمبر ٢٠٢٦", "٨/١١/٢٠٢٦"],
}


def test_the_file_of_names_is_unchanged():
    digest = hashlib.sha256(dates.FILE.read_bytes()).hexdigest()
    assert digest == "0683940e4a20371d1b4d36fce92c0634bbd2fe05abba1cc3316a0b31777e1ff6"


@pytest.mark.parametrize("name", EXAMPLES)
def test_dates_as_they_are_written(name):
    day = datetime.date(2026, 11, 8)
    found = {dates.render(day, n, p) for n, p in dates.seen() if n == name}
    assert set(EXAMPLES[name]) <= found


def test_every_language_is_among_the_examples():
    assert {name for name, _ in dates.seen()} == set(EXAMPLES)


def test_names_are_complete_and_different():
    for locale in dates.facts()["locales"].values():
        for field, count in (("months", 12), ("short", 12), ("weekdays", 7)):
            names = locale.get(field, range(count))
            assert len(names) == len(set(names)) == count


def days():
    """All days of two years, between which a century lies."""
    for year in (1912, 2012):
        first = datetime.date(year, 1, 1)
        yield from (first + datetime.timedelta(days=i) for i in range(366))


def answers(patterns, strip=lambda text: text):
    """text -> set of the dates that it can be made of."""
    found = collections.defaultdict(set)
    for day in days():
        for name, pattern in patterns:
            found[strip(dates.render(day, name, pattern))].add(day)
    return found


def test_every_text_has_one_right_answer():
    every = answers(dates.seen() + dates.held_out())
    assert [text for text, right in every.items() if len(right) > 1] == []


def test_languages_stand_in_front_where_the_order_differs():
    """And nowhere else: without them 01/02/2012 would have two answers."""
    tag = re.compile(rf"({'|'.join(EXAMPLES)}) (?=\d)")
    tagged = {(n, p) for n, p in dates.seen() if p.startswith(n)}
    in_doubt = re.compile(r".*\{day[:02]*\}[/-].*|.*[/-]\{day[:02]*\}[/-].*")
    assert tagged == {
        (name, pattern)
        for name, pattern in dates.seen()
        if in_doubt.fullmatch(pattern) and name != "ar"  # by its digits
    }
    bare = answers(tagged, lambda text: tag.sub("", text))
    assert bare["01/02/2012"] == {
        datetime.date(2012, 1, 2),
        datetime.date(2012, 2, 1),
    }


def test_builtin_is_the_same_everywhere():
    found = data.read(config(builtin_size=200))
    assert [len(part) for part in parts(found)] == [180, 8, 12]
    assert found.train["text"][:3] == [
        "5 de setembro de 2095",
        "19. Januar 2000",
        "nl 26-12-1907",
    ]
    assert found.train["translations"][:3] == [
        ["2095-09-05"],
        ["2000-01-19"],
        ["1907-12-26"],
    ]
    assert found.sha256.startswith("3104a0233688079f")


def test_builtin_has_its_size_in_different_texts():
    found = data.read(config(builtin_size=3000))
    texts = [t for part in parts(found) for t, _ in part]
    assert len(texts) == len(set(texts)) == 3000
    more = data.read(config(builtin_size=3100))
    assert more.train["text"][: len(found.train)] == found.train["text"]


def test_builtin_is_split_by_date_and_right():
    """Every text is what a pattern makes of its date, and every pattern occurs."""
    found = data.read(config(builtin_size=3000))
    patterns, years = set(), set()
    for split, part in zip(("train", "validation", "test"), parts(found), strict=True):
        assert len(part) > 100
        for text, iso in part:
            assert core_splits.by_hash("90/5/5", iso) == split
            day = datetime.date.fromisoformat(iso)
            made_by = {one for one in dates.seen() if dates.render(day, *one) == text}
            assert made_by
            patterns |= made_by
            years.add(day.year)
    assert patterns == set(dates.seen())
    assert min(years) >= 1900 and max(years) <= 2099 and len(years) == 200


def test_too_many_texts():
    with pytest.raises(UserError, match="--builtin-size expected at most 22.*10000000"):
        data.read(config(builtin_size=10_000_000))


def test_unseen_patterns_are_in_no_builtin_text():
    held_out = dates.held_out()
    assert len({name for name, _ in held_out}) == len(held_out) == 3
    seen, unseen = answers(dates.seen()), answers(held_out)
    assert len(unseen) == 3 * 732 and not seen.keys() & unseen.keys()


def test_unseen_are_dates_of_the_test_split():
    found = dates.unseen(config())
    assert len(found) == len(set(found["text"])) == 500
    assert pairs(found) == pairs(dates.unseen(config()))
    patterns = set()
    for text, iso in pairs(found):
        assert core_splits.by_hash("90/5/5", iso) == "test"
        day = datetime.date.fromisoformat(iso)
        made_by = [one for one in dates.held_out() if dates.render(day, *one) == text]
        assert len(made_by) == 1
        patterns.update(made_by)
    assert patterns == set(dates.held_out())
    assert len(dates.unseen(config(), size=7)) == 7
    assert len(dates.unseen(config(split="90/10/0"))) == 0


def test_why_builtin_has_no_test():
    none = config(split="90/10/0")
    assert len(data.read(none).test) == 0
    assert data.why_no_test(none) == "--split=90/10/0 leaves none of its dates to it"


# Real data


def counted(splits):
    """Of each split, the sentences and the different translations of all of them."""
    return [
        (len(part), sum(map(len, part["translations"])))
        for part in (splits.train, splits.validation, splits.test)
    ]


def rows_of(where):
    return [
        len(data.read_rows(where, part, paths))
        for part, paths in data.sources(where)[0]
    ]


def test_multi30k(saccade_data):
    where = config(saccade_data / "mt_en_de_multi30k")
    assert rows_of(where) == [29_000, 1_000, 1_014]
    found = data.read(where)
    assert counted(found) == [(28_991, 28_997), (1_014, 1_014), (1_000, 1_000)]
    assert any("  " in german for (german, *_) in found.train["translations"])
    other = config(saccade_data / "mt_en_de_multi30k" / "test_2017_flickr")
    assert counted(data.read(other)) == [(0, 0), (0, 0), (1_000, 1_000)]


def test_tatoeba(saccade_data):
    where = config(saccade_data / "mt_en_zh_tatoeba", target="zh")
    assert rows_of(where) == [26_251, 1_482, 1_422]
    found = data.read(where)
    assert counted(found) == [(24_898, 26_156), (1_349, 1_418), (1_414, 1_481)]
    assert sum(len(several) > 1 for several in found.test["translations"]) == 64
    back = config(
        saccade_data / "mt_en_zh_tatoeba", source="zh", target="en", columns="en,zh"
    )
    assert "嗨。" in data.read(back).train["text"]


def test_a_column_that_is_misspelt_is_no_table_without_a_header(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("id,english,german\n1,a cat,eine Katze\n", "utf-8")
    with pytest.raises(UserError, match="expected a column 'germn' .--target."):
        data.read(config(path, source="english", target="germn"))


def test_a_table_without_a_header_says_how_it_is_read(tmp_path, caplog):
    path = tmp_path / "pairs.tsv"
    path.write_text("a cat\teine Katze\n", "utf-8")
    with caplog.at_level("INFO", "saccade"):
        data.read(config(path, split="100/0/0"))
    assert "has no header with de and en: its first columns" in caplog.text
