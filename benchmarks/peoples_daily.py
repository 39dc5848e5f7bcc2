"""Labelled sentences from People's Daily of January 1998, by benchmarks/DATA.md.

    python benchmarks/peoples_daily.py \\
        "$SACCADE_DATA/pos_ner_zh_peoples_daily_199801/199801.txt.gz" entities \\
        --as entities

writes entities/train.conll, dev.conll and test.conll: a token, a tab and its tag in
every line, an empty line behind every sentence. A sentence is a line of the corpus,
however long it is.

    --as words          the words as they are given, with their part of speech
    --as entities       characters: B-PER and I-PER (tag nr), LOC (ns), ORG (nt), or O
    --as joint          characters: where in its word each stands, and the word's part
                        of speech: B-n I-n E-n, or S-v alone

Where a line goes says its number, from 1, modulo 10: 0 to test, 1 to dev, all others to
train. With --blocks the first 80 % of the lines are train, the next 10 % dev, the last
10 % test, so that the lines of an article stay together, but at the two seams.

Names of persons. The corpus has surname and given name as two words. A surname, which
is one character or one of `COMPOUND_SURNAMES`, and the nr behind it are one name; any
other nr is a name of its own. So the run A B C D is two names where A and C are
surnames. Neighbours that are ns or nt are never joined.
"""

import argparse
import collections
import gzip
import pathlib

SPLITS = {0: "test", 1: "dev"}
BLOCKS = {8: "dev", 9: "test"}
ENTITIES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
COMPOUND_SURNAMES = frozenset(
    "欧阳 司马 诸葛 司徒 上官 夏侯 皇甫 尉迟 公孙 慕容 令狐 南宫 东方 端木 长孙 "
    "宇文 轩辕 申屠 淳于 闻人 钟离 澹台 赫连 呼延 独孤 西门 百里 东郭 公羊 太史".split()
)


def words_of(line):
    """A line of the corpus -> [(word, tag)]."""
    return [token.rpartition("/")[::2] for token in line.split()]


def joined_names(words):
    """[(word, tag)], in which a surname and the nr behind it have become one."""
    found, surname = [], ""
    for word, tag in words:
        if surname and tag == "nr":
            found[-1], surname = (surname + word, tag), ""
            continue
        found.append((word, tag))
        is_surname = tag == "nr" and (len(word) == 1 or word in COMPOUND_SURNAMES)
        surname = word if is_surname else ""
    return found


def entities(words):
    """[(word, tag)] -> [(character, BIO tag)]."""
    found = []
    for word, tag in joined_names(words):
        kind = ENTITIES.get(tag)
        for i, character in enumerate(word):
            place = "I" if i else "B"
            found.append((character, f"{place}-{kind}" if kind else "O"))
    return found


def joint(words):
    """[(word, tag)] -> [(character, BIES tag with the word's)]."""
    found = []
    for word, tag in words:
        places = "S" if len(word) == 1 else "B" + "I" * (len(word) - 2) + "E"
        found += [(c, f"{place}-{tag}") for c, place in zip(word, places, strict=True)]
    return found


FORMS = {"words": list, "entities": entities, "joint": joint}


def split_of(index, lines, blocks=False):
    """The split of a line: index from 0, of so many lines."""
    if blocks:
        return BLOCKS.get(10 * index // lines, "train")
    return SPLITS.get((index + 1) % 10, "train")


def sentences_of(path, form, blocks=False):
    """{split: list of sentences}; a sentence is a list of (token, tag)."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = list(file)
    found = {"train": [], "dev": [], "test": []}
    for i, line in enumerate(lines):
        sentence = FORMS[form](words_of(line))
        found[split_of(i, len(lines), blocks)].append(sentence)
    return found


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, help="folder")
    parser.add_argument("--as", dest="form", required=True, choices=list(FORMS))
    parser.add_argument("--blocks", action="store_true")
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    splits = sentences_of(given.corpus, given.form, given.blocks)
    for split, sentences in splits.items():
        path = given.out / f"{split}.conll"
        texts = ["".join(f"{t}\t{tag}\n" for t, tag in s) + "\n" for s in sentences]
        path.write_text("".join(texts), encoding="utf-8", newline="\n")
        tags = collections.Counter(tag for s in sentences for _, tag in s)
        counts = f"{len(sentences)} sentences, {tags.total()} tokens"
        if given.form == "entities":
            kinds = {kind: tags[f"B-{kind}"] for kind in ENTITIES.values()}
            counts += f", {kinds}"
        print(f"{path}: {counts}")


if __name__ == "__main__":
    main()
