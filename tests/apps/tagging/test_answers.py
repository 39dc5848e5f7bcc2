"""What an answer says: tokens and where they are, entities, how sure, files."""

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.data.rows import Examples
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.tagging import APP, gazetteer, pictures, scores
from saccade.apps.tagging.config import Config, Options
from saccade.apps.tagging.cutting import cut, given
from saccade.apps.tagging.task import Tags, latest

from ...groups import of_apps


@pytest.fixture(**of_apps("tagging"))
def name(request):
    return request.param


CUTS = {
    "characters": ("王刚 和\u3000李", ["王", "刚", "和", "李"]),
    "spaces": ("don't  stop,\u00a0Ada", ["don't", "stop,", "Ada"]),
    "words": ("DON'T stop, Ada's😀", ["DO", "N'T", "stop", ",", "Ada", "'s", "😀"]),
}


@pytest.mark.parametrize("units", CUTS)
def test_tokens_stand_where_they_say(units):
    text, expected = CUTS[units]
    texts = [text, "", "  ", f" {text} "]

    found = cut(tf.constant(texts), units)

    assert found.lengths.numpy().tolist() == [len(expected), 0, 0, len(expected)]
    for row, source in enumerate(texts):
        assert found.sources[row].numpy().decode() == source
        for i, token in enumerate(found.tokens[row].numpy()):
            start, end = found.starts[row, i], found.ends[row, i]
            assert source[start:end] == token.decode() == expected[i]
            start, end = found.byte_starts[row, i], found.byte_ends[row, i]
            assert source.encode()[start:end] == token
        assert not found.ends[row, len(found.tokens[row]) :].numpy().any()


def test_tokens_that_are_given_stay_as_they_are():
    tokens = ["do", "n't", "New York", "!"]
    found = cut(tf.constant([given(tokens)]), "words")
    assert [t.decode() for t in found.tokens[0].numpy()] == tokens
    assert found.sources[0].numpy().decode() == "do n't New York !"
    found = cut(tf.constant([given(["王", "刚"])]), "characters")
    assert found.sources[0].numpy().decode() == "王刚"
    assert found.ends.numpy().tolist() == [[1, 2]]


def test_bytes_that_are_no_text():
    found = cut(tf.constant([b"a\xff b"]), "spaces")
    assert found.sources[0].numpy().decode() == "a\ufffd b"
    assert found.starts.numpy().tolist() == [[0, 3]]


def test_latest():
    places = tf.constant([[-1, 1, -1, 3], [0, -1, -1, -1]])
    assert latest(places).numpy().tolist() == [[0, 1, 1, 3], [0, 0, 0, 0]]


def test_entities_of_labels():
    """Of a network whose labels are known: names, places, how sure."""
    tokenizer = Tokenizer([*"ab"], "spaces", special=("<pad>", "<unk>"))
    assets = Tags(("O", "B-P", "I-P"), tokenizer, widths=(6,))
    task = APP.task_for(Config(decoder="softmax", tokenizer="characters"), assets)
    chosen = np.array([[1, 2, 0, 1, 2, 2], [2, 1, 1, 0, 0, 0]])
    sure = np.full(chosen.shape, 0.9, "float32")
    others = (1 - sure)[..., None] / 2
    likely = np.where(np.eye(3)[chosen] > 0, sure[..., None], others)

    def model(inputs, training):
        return {"logits": tf.math.log(tf.constant(likely, tf.float32))}

    texts = tf.constant(["王刚 和李明x", "张\u3000马\u3000江"])
    values = {"text": texts}
    tokens = tf.constant([[2] * 6, [2] * 3 + [0] * 3])
    tensors = task.respond(model, {"tokens": tokens}, Options())
    options = type("", (), {"threshold": tf.constant([0.0, 0.85])})
    answer = {k: v.numpy() for k, v in task.answer(values, tensors, options).items()}

    assert answer["entity_count"].tolist() == [2, 3]
    assert [e.decode() for e in answer["entity"][0]] == ["王刚", "李明x", ""]
    assert [e.decode() for e in answer["entity"][1]] == ["张", "马", "江"]
    assert answer["entity_label"][0].tolist() == [b"P", b"P", b""]
    assert answer["entity_start"][0].tolist() == [0, 4, 0]
    assert answer["entity_end"][0].tolist() == [2, 7, 0]
    assert answer["entity_start_byte"][0].tolist() == [0, 10, 0]
    assert answer["entity_end_byte"][0].tolist() == [6, 17, 0]
    np.testing.assert_allclose(
        answer["entity_score"], [[0.81, 0.729, 0], [0.9, 0.9, 0.9]], rtol=1e-5
    )
    assert [t.decode() for t in answer["tags"][1]] == ["I-P", "B-P", "B-P", "", "", ""]


def test_what_the_lectures_sentence_gives(run):
    (answer,) = run.predict(["王刚和李明去上班了"])
    assert answer["entity"] == ["王刚", "李明"]
    assert answer["entity_label"] == ["PER", "PER"]
    assert answer["entity_end"].tolist() == [2, 5]
    assert answer["tags"][:3] == ["B-PER", "E-PER", "O"]
    assert min(answer["entity_score"]) > 0.5
    first, second = run.predict(["他说，「王刚很忙", "他说，「王府很旧"])
    assert first["entity"] == ["王刚"] and second["entity"] == []


def test_tokens_that_a_program_has_cut(run):
    whole = run.predict(["王刚和李明去上班了"])[0]
    rows = [np.array([*"王刚和李明去上班了"], object)]
    (found,) = run.predict([{"tokens": rows[0]}], signature="cut")
    assert found["entity"] == whole["entity"]
    np.testing.assert_allclose(found["score"], whole["score"], atol=1e-5)


def test_n_best_begins_with_the_answer(run):
    text = "他说，「王刚很忙"
    (answer,) = run.predict([text])
    (several,) = run.predict([text], signature="n_best", n_best=4)
    assert several["tags"][0] == answer["tags"]
    assert len({tuple(line) for line in several["tags"]}) == 4
    assert (np.diff(several["score"]) <= 0).all() and several["score"].sum() <= 1.001


def test_probabilities_are_those_of_what_makes_sense(run):
    """All sequences that the labels allow, and no others, have 1 together."""
    (found,) = run.predict(["王刚"], signature="n_best", n_best=100)
    assert found["score"].sum() == pytest.approx(1, abs=1e-4)
    assert ["B-PER", "O"] not in found["tags"]
    assert len(found["tags"]) == 1 + 3  # O O, or a name of each kind


def test_an_answer_is_shown_without_the_run(run):
    """As an export and a server do, whose task has learned nothing."""
    (answer,) = run.predict(["王刚很忙"])
    assert APP.task_for(APP.Config()).show(answer).startswith("王刚很忙: 王刚 PER (")


def test_other_labels_are_an_error(run):
    other = Examples(text=[given("王刚")], labels=[["NOUN", "VERB"]])
    with pytest.raises(UserError, match="knows B-LOC, .*has other labels: NOUN, VERB"):
        run.task.measure(run.predict(other["text"]), other)


def test_the_n_best_have_no_picture(run, tmp_path):
    answers = run.predict(["王刚"], signature="n_best")
    for write in (run.draw, run.page):
        with pytest.raises(UserError, match="leave --signature out"):
            write(["王刚"], answers)
    with pytest.raises(UserError, match="leave --signature out"):
        pictures.write(tmp_path / "a.ann", answers)


def test_texts_that_are_there_are_not_overwritten(run, tmp_path):
    answers = run.predict(["王刚很忙"])
    (tmp_path / "a.txt").write_text("mine\n")
    with pytest.raises(UserError, match="a.txt, which is there and holds something"):
        pictures.write(tmp_path / "a.ann", answers)
    assert (tmp_path / "a.txt").read_text() == "mine\n"
    assert pictures.write(tmp_path / "b.ann", answers)
    assert pictures.write(tmp_path / "b.ann", answers)  # its own text may be there


def test_a_threshold_leaves_out_what_is_less_likely(run):
    (answer,) = run.predict(["王刚和李明去上班了"], threshold=1.0)
    assert answer["entity"] == [] and answer["entity_count"] == 0


def test_pictures_and_files(run, tmp_path):
    answers = run.predict(["王刚和李明去上班了", "我看见李子在张家口", ""])
    figure = run.draw(["", "", ""], answers)
    shown = "".join(text.get_text() for text in figure.axes[0].texts)
    assert "PER" in shown and "LOC" in shown and "王刚" in shown
    page = run.page(["", "", ""], answers)
    assert "<mark" in page and "张家口" in page

    assert pictures.write(tmp_path / "a.conll", answers)
    lines = (tmp_path / "a.conll").read_text("utf-8").splitlines()
    assert lines[:2] == ["王\tB-PER", "刚\tE-PER"] and lines.count("") == 2
    assert pictures.write(tmp_path / "a.ann", answers)
    text = (tmp_path / "a.txt").read_text("utf-8")
    for line in (tmp_path / "a.ann").read_text("utf-8").splitlines():
        _, place, name = line.split("\t")
        start, end = map(int, place.split()[1:])
        assert text[start:end] == name


def test_inspect_draws_the_transitions(run, tmp_path):
    facts = run.inspect(None, str(tmp_path))
    assert (tmp_path / "transitions.png").stat().st_size > 1000
    assert "B-PER" in facts["highest"] + facts["lowest"]


# Figures


def test_f1_of_entities():
    """Numbers that seqeval 1.2.2 gives for the same labels."""
    truth = [["B-X", "I-X", "O", "B-Y"], ["O", "B-X", "O", "O"]]
    answers = [["B-X", "I-X", "O", "B-X"], ["O", "I-X", "O", "B-Y"]]
    figures = scores.of_entities(answers, truth)
    assert figures["f1"] == pytest.approx(57.142857)  # 2 of 4 and of 3
    assert figures["precision"] == 50 and figures["recall"] == pytest.approx(66.666667)
    assert figures["f1_strict"] == pytest.approx(33.333333)  # I-X behind an O is none
    assert figures["cut_f1"] == pytest.approx(85.714286)
    assert figures["entities"]["X"]["count"] == 2
    assert figures["entities"]["Y"]["f1"] == 0


def test_accuracy_of_known_and_unknown_tokens():
    tokenizer = Tokenizer(["a", "b"], "spaces", special=("<pad>", "<unk>"))
    figures = scores.of_tokens(
        [["x", "y"], ["x"]], [["x", "x"], ["y"]], [["a", "c"], ["b"]], tokenizer
    )
    assert figures["accuracy"] == pytest.approx(100 / 3)
    assert figures["accuracy_known"] == 50 and figures["accuracy_unknown"] == 0
    assert figures["unknown"] == pytest.approx(100 / 3)


# A list of names


def test_gazetteer(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("王刚\n\n张家口\n李\n", "utf-8")
    names = gazetteer.read(str(file), "characters", lower=True)
    tokens = cut(tf.constant(["我王刚王李家", "张家口", ""]), "characters").tokens
    found = gazetteer.listed(tokens.to_tensor(""), names, lower=True)
    assert found.numpy().tolist() == [
        [1, 2, 2, 1, 2, 1],
        [2, 2, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    inside = tf.function(lambda t: gazetteer.listed(t, names, lower=True))
    np.testing.assert_array_equal(inside(tokens.to_tensor("")), found)
    file.write_text("\n")
    with pytest.raises(UserError, match="expected names, one a line, found none"):
        gazetteer.read(str(file), "characters", lower=True)
