"""Sequences: the builtin ones, files of every form, and what is wrong with a file."""

import collections
import gzip

import numpy as np
import pytest

from saccade.apps.core.data import splits as by
from saccade.apps.core.errors import UserError
from saccade.apps.dna import APP, builtin
from saccade.apps.dna.config import EXAMPLES, Config
from saccade.apps.dna.data import read

SIZE = 3000
FIRST = "GCAAATGGTACTCCCCCGAGAGCTAGTGAGGTGAGCGGCAGTACTGTACCCTACCTCGAC"


@pytest.fixture(scope="module")
def drawn():
    return builtin.read(Config(builtin_size=SIZE))


def rows_of(splits):
    """All rows, as a set of (sequence, label)."""
    parts = (splits.train, splits.validation, splits.test)
    return {pair for p in parts for pair in zip(p["sequence"], p["label"], strict=True)}


# Builtin


def test_the_builtin_sequences_are_the_same_everywhere(drawn):
    again = builtin.read(Config(builtin_size=SIZE, seed=7))
    assert again.sha256 == drawn.sha256
    assert drawn.train["sequence"][0] == FIRST
    sequences = [
        set(p["sequence"]) for p in (drawn.train, drawn.validation, drawn.test)
    ]
    assert sum(map(len, sequences)) == len(set.union(*sequences)) == SIZE


def test_motifs_are_as_conserved_as_is_said(drawn):
    """Of promoters: the boxes' bases are the consensus in 80 % of them."""
    train = drawn.train
    found, gaps = collections.Counter(), collections.Counter()
    for sequence, label, planted in zip(*train.columns.values(), strict=True):
        assert planted.count("+") in {"donor": {9}, "promoter": {12}}.get(
            label, {0, 9, 12}
        )
        if label == "promoter":
            first, second = planted.index("+"), planted.rindex("+") - 5
            gaps[second - first - 6] += 1
            boxes = sequence[first : first + 6] + sequence[second : second + 6]
            found["bases"] += 12
            found["right"] += sum(map(str.__eq__, boxes, "TTGACATATAAT"))
    assert found["right"] / found["bases"] == pytest.approx(0.8, abs=0.02)
    assert gaps.keys() == {15, 16, 17, 18, 19} and gaps.most_common(1)[0][0] == 17


def test_the_ceiling_is_the_exact_one(drawn):
    """The posterior is calibrated, so that its expected accuracy is its accuracy; and
    by the definition, summed here letter by letter, it is what Bayes' theorem says."""
    sequences, labels = drawn.train["sequence"], drawn.train["label"]
    exact = builtin.posterior(sequences)
    accuracy = builtin.ceiling(sequences, labels)
    assert accuracy == pytest.approx(100 * exact.max(axis=1).mean(), abs=1.5)
    assert 93 < accuracy < 97
    for column, label in enumerate(builtin.LABELS):
        share = np.mean([name == label for name in labels])
        assert exact[:, column].mean() == pytest.approx(share, abs=0.02)

    (sequence,) = EXAMPLES[:1]
    joint = []
    for share, placements in builtin.CLASSES.values():
        total = 0.0
        for chance, places in placements:
            p = [0.25] * len(sequence)
            for start, motif in places:
                for i, row in enumerate(motif):
                    p[start + i] = row["ACGT".index(sequence[start + i])]
            total += chance * np.prod(np.array(p) * 4)
        joint.append(share * total)
    expected = np.array(joint) / sum(joint)
    np.testing.assert_allclose(builtin.posterior([sequence])[0], expected)


def test_what_looks_like_a_motif_is_none():
    """The same two boxes: in their order, in the other one, and with another gap."""
    left, right = "TTGACA", "TATAAT"

    def with_boxes(first, second, start, end):
        text = list("ACGT" * 15)
        text[start : start + 6], text[end : end + 6] = first, second
        return "".join(text)

    cases = [
        with_boxes(left, right, 16, 39),
        with_boxes(right, left, 16, 39),
        with_boxes(left, right, 23, 39),
    ]
    best = np.argmax(builtin.posterior(cases), axis=1)
    assert [builtin.LABELS[i] for i in best] == ["promoter", "none", "none"]


def test_the_ceiling_is_told():
    facts = APP.describe_data(Config(builtin_size=SIZE))
    assert "% accuracy on the test split by the exact probabilities" in facts["ceiling"]
    assert "naive Bayes by places" in facts


# Files

ROWS = [
    *(("ACGTAC", "yes"), ("acgtaa", "no"), ("ACGUCC", "yes"), ("NNRYTT", "no")),
    *((f"ACG{'ACGT'[i % 4]}T{'ACGT'[i // 4]}", "ab"[i % 2]) for i in range(16)),
]
EXPECTED = {(s.upper().replace("U", "T"), c) for s, c in ROWS}


def uci():
    return "".join(f"{c},  name{i},\t\t{s}\n" for i, (s, c) in enumerate(ROWS))


def table(mark):
    lines = [("label", "id", "sequence")]
    lines += [(c, f"n{i}", s) for i, (s, c) in enumerate(ROWS)]
    return "".join(f"{mark.join(line)}\n" for line in lines)


def wrapped_fasta():
    return "".join(
        f">n{i} of gene|{c}\n{s[:4]}\n{s[4:]}\n" for i, (s, c) in enumerate(ROWS)
    )


FORMS = {
    "a.data": uci(),
    "a.csv": "\ufeff" + table(","),
    "a.tsv": table("\t"),
    "a.jsonl": "".join(f'{{"sequence": "{s}", "label": "{c}"}}\n' for s, c in ROWS),
    "a.fasta": wrapped_fasta(),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_every_form(tmp_path, name, zipped):
    content = FORMS[name].encode()
    path = tmp_path / (name + ".gz" * zipped)
    path.write_bytes(gzip.compress(content) if zipped else content)
    for data in (tmp_path, path):
        splits = read(Config(data=str(data)))
        assert rows_of(splits) == EXPECTED
    # Names are kept for groups, and are no input of the model.
    kinds = APP.task_for(Config()).kinds()
    assert set(kinds) == {"sequence"}
    if name.endswith(("csv", "tsv")):
        assert "id" in splits.train


def test_labels_beside_a_fasta_file(tmp_path):
    fasta = "".join(f">n{i} what\n{s}\n" for i, (s, _) in enumerate(ROWS))
    (tmp_path / "a.fa").write_text(fasta)
    labels = tmp_path / "labels.tsv"
    lines = [f"n{i}\t{c}\n" for i, (_, c) in enumerate(ROWS)]
    labels.write_text("name\tlabel\n" + "".join(lines))
    settings = {"data": str(tmp_path / "a.fa"), "labels": str(labels)}
    assert rows_of(read(Config(**settings))) == EXPECTED
    labels.write_text("name\tlabel\n" + "".join(lines[:-1]))
    with pytest.raises(UserError, match=r"a.fa, line 39: .*no row for the name 'n19'"):
        read(Config(**settings))
    labels.write_text("name\tlabel\nn0\tx\nn0\ty\n")
    with pytest.raises(UserError, match="line 3: the name 'n0' has the class 'y' here"):
        read(Config(**settings))


def test_the_same_sequence_is_in_one_split_whatever_its_letters_and_name(tmp_path):
    lines = [
        f"{'ab'[i % 2]},n{i}-{k},{form(f'ACG{i:06b}'.translate(BITS))}\n"
        for i in range(60)
        for k, form in enumerate((str, str.lower, lambda s: s.replace("T", "U")))
    ]
    (tmp_path / "a.data").write_text("".join(lines))
    splits = read(Config(data=str(tmp_path)))
    parts = [splits.train, splits.validation, splits.test]
    assert sum(map(len, parts)) == 180 and all(map(len, parts))
    different = [set(part["sequence"]) for part in parts]
    assert sum(map(len, different)) == len(set.union(*different)) == 60
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        assert {by.by_hash("80/10/10", s) for s in part["sequence"]} == {name}


BITS = str.maketrans("01", "AT")


@pytest.mark.parametrize(
    "name, content, error",
    [
        ("a.data", "x,n,ACGT\nx,ACGT\n", "line 2: expected class, name, sequence.*2"),
        ("a.data", "x,n,ACGT\n\nx,n,AXG\n", "line 3: .*received 'X' in place 2"),
        ("a.data", "x,n,ACGT\n ,n,ACG\n", "line 2: expected a class, received ''"),
        ("a.csv", "dna,label\nACGT,x\n", r"a column 'sequence' \(--sequence-column\)"),
        ("a.csv", "sequence,label\nACGT,x\n,y\n", "line 3: .*received none"),
        ("a.jsonl", '{"sequence": 5, "label": 1}', "line 1: .*sequence, received 5"),
        ("a.fasta", ">n|x\nACGT\n>n\nAC\n", "line 3: expected a class behind '|'"),
        ("a.fasta", "ACGT\n", "line 1: expected FASTA"),
        ("a.csv.gz", "no gzip", "ends in .gz, but is no gzip"),
        ("a.txt", "ACGT", "Expected a file of sequences"),
        ("a.data", f"x,n,{'A' * 2001}", "at most 2000 bases.*--max-length"),
    ],
)
def test_an_error_names_the_file_and_the_line(tmp_path, name, content, error):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=error):
        read(Config(data=str(tmp_path)))


def test_bad_rows_can_be_skipped(tmp_path, caplog):
    lines = [f"x,n{i},ACG{i:05b}\n".translate(BITS) for i in range(32)]
    (tmp_path / "a.data").write_text("".join(lines).replace("n", "n") + "x,n,AC?T\n")
    splits = read(Config(data=str(tmp_path), skip_bad=True))
    assert len(rows_of(splits)) == 32
    assert "Skipped 1 of 33 sequences" in caplog.text
    assert "received '?' in place 3" in caplog.text


def test_real_splice_junctions(saccade_data):
    facts = APP.describe_data(Config(data=str(saccade_data / "dna_splice")))
    assert facts["bases"] == "60 to 60 a sequence"
    assert facts["different sequences"] == "3005 of 3190, 1 with several labels"
    labels = facts["labels in training"]
    assert "EI" in labels and labels.count(",") == 2


def test_real_promoters(saccade_data):
    splits = read(Config(data=str(saccade_data / "dna_promoters")))
    assert len(rows_of(splits)) == 106
    assert set(splits.train["label"]) == {"+", "-"} and "S10" in [
        name
        for part in (splits.train, splits.validation, splits.test)
        for name in part["name"]
    ]
