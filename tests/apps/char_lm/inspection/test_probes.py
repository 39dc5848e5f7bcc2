import numpy as np
import pytest

from saccade.apps.char_lm.inspection.probes import probes


def read(text, suffix=".txt"):
    """Values by the name of their probe."""
    return {probe.name: probe.values for probe in probes(text, suffix)}


def held(text, values):
    """The characters at which a yes/no probe holds."""
    return "".join(c for c, v in zip(text, values, strict=True) if v)


def test_one_value_per_character_for_every_kind_of_text():
    for text in ("x = 1\n", "no line end", "(\n", '"""', "历史“总是”\n", ""):
        for suffix in (".py", ".c", ".tex", ".txt"):
            for probe in probes(text, suffix):
                assert probe.values.shape == (len(text),), (probe.name, text, suffix)
                assert probe.values.dtype == (np.float32 if probe.graded else bool)


# What stands behind the opening mark is inside, the closing mark is not.
PYTHON = '''\
def f(a, b=[1]):  # a (note)
    """Say "hi" (twice)."""
    if a == "x:y" and (b[0:1] or a):
        return f"{a:>3}'s" + 'it\\'s'  # "quoted"
    while a: a = b if a else {}
    return (
        a
    )
x = 1
'''


@pytest.fixture(params=["tokenize", "scan"])
def python(request, monkeypatch):
    """PYTHON as both readers see it."""
    if request.param == "scan":
        path = "saccade.apps.char_lm.inspection.probes.read_tokens"
        monkeypatch.setattr(path, lambda text, marks: 0)
    return read(PYTHON, ".py")


def test_python_quotes(python):
    assert held(PYTHON, python["inside quotes"]) == "\"x:y\"{a:>3}'s'it\\'s"
    assert held(PYTHON, python["inside triple quotes"]) == '"Say "hi" (twice).""'


def test_python_comments(python):
    assert held(PYTHON, python["inside a comment"]) == '# a (note)# "quoted"'


def test_python_conditions(python):
    expected = ' a == "x:y" and (b[0:1] or a) a'
    assert held(PYTHON, python["inside a condition"]) == expected


def test_python_brackets(python):
    depth = python["bracket depth"]
    assert depth[PYTHON.index("[1]")] == 2
    assert depth[PYTHON.index("):  #")] == 0
    assert depth[PYTHON.index("note")] == depth[PYTHON.index("twice")] == 0
    assert depth[PYTHON.index("0:1")] == 2
    assert depth[PYTHON.index("        a\n")] == 1
    assert depth[-1] == 0


def test_python_blocks(python):
    depth = python["indentation depth"]
    places = {name: PYTHON.index(name) for name in ("def", "Say", "return f", "x = 1")}
    assert {name: depth[t] for name, t in places.items()} == {
        "def": 0,
        "Say": 1,
        "return f": 2,
        "x = 1": 0,
    }


def test_lines_inside_brackets_belong_to_the_block_around_them():
    depth = read(PYTHON, ".py")["indentation depth"]
    assert depth[PYTHON.index("        a\n") + 8] == 1


def test_where_tokenize_fails_the_scan_goes_on():
    broken = "if a:\n    b = 'one'\n  c = 'two'  # no such column\nd = ('three'\n"
    values = read(broken, ".py")
    assert held(broken, values["inside quotes"]) == "'one'two'three"
    assert held(broken, values["inside a comment"]) == "# no such column"
    assert values["bracket depth"][-1] == 1


def test_prose_read_as_python_spoils_nothing():
    text = "He said: \"go\", didn't he?\nif only 'twere so\nas follows: no\n"
    values = read(text, ".py")
    assert held(text, values["inside quotes"]) == '"go'
    assert not values["inside a condition"].any()


def test_half_a_file_may_end_in_an_open_text():
    text = 's = "a"\nt = """never\nended\n'
    values = read(text, ".py")
    assert held(text, values["inside quotes"]) == '"a'
    assert held(text, values["inside triple quotes"]) == '"never\nended'


def test_c():
    text = (
        'if (a[1] == "b)") { // if (not)\n  c = \'"\'; /* "d" */ }\nwhile (f(x)) g();\n'
    )
    values = read(text, ".c")
    assert held(text, values["inside a condition"]) == '(a[1] == "b)"(f(x)'
    assert held(text, values["inside quotes"]) == '"b)\'"'
    assert held(text, values["inside a comment"]) == '/ if (not)* "d" *'
    assert values["bracket depth"][text.index("c =")] == 1
    assert values["bracket depth"][text.index("x))")] == 2


def test_prose():
    text = (
        '"Don\'t," he (that is, I) said.\n\n"It never ends\n\n“Yes”, ‘it’s so’, ok.\n'
    )
    values = read(text)
    assert held(text, values["inside quotes"]) == "\"Don't,“Yes‘it’s so"
    assert values["bracket depth"][text.index("that")] == 1
    assert not values["inside a comment"].any()
    assert not values["inside a condition"].any()


def test_an_open_bracket_of_prose_ends_with_its_paragraph():
    depth = read("a (b\n\nc")["bracket depth"]
    assert depth[3] == 1
    assert depth[-1] == 0


def test_chinese_quotes():
    text = "他说：“历史「总是」重演”。"
    assert held(text, read(text)["inside quotes"]) == "“历史「总是」重演"


def test_tex():
    text = "``so'' 5\\% of $a_{i}$ % a (note\nb\n"
    values = read(text, ".tex")
    assert held(text, values["inside quotes"]) == "``so'"
    assert held(text, values["inside a comment"]) == "% a (note"
    assert values["bracket depth"][text.index("i}")] == 1


def test_lines():
    text = "ab\n\n  c\n"
    values = read(text)
    assert values["position in the line"].tolist() == [1, 2, 0, 0, 1, 2, 3, 0]
    assert values["indentation depth"].tolist() == [0, 0, 0, 0, 1, 2, 2, 0]


def test_near_the_end_of_the_line():
    text = "0123456\nab"
    assert held(text, read(text)["near the end of the line"]) == "23456"


def test_words_and_addresses():
    text = "see (http://a.org/b?c) now_1"
    values = read(text)
    assert held(text, values["inside a URL"]) == "/a.org/b?c"
    assert held(text, values["inside a word"]) == "seehttpaorgbcnow_1"
