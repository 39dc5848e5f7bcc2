"""What a reader of a text may keep in mind, derived from the text itself.

A unit has read the characters 0 ... t when it takes its value at t. So a probe's value
at t too describes the text after those: behind the opening quotation mark one is
inside, behind the closing one no longer.

Python is read by its own `tokenize`; from where that fails (broken code, half a file),
and in every other text, a scan looks for quotations, comments, brackets and conditions.
"""

import dataclasses
import io
import re
import tokenize

import numpy as np

NEAR = 5  # characters before the end of a line
TAB = 4  # columns of white space

PYTHON = (".py", ".pyi")
C_LIKE = (".c", ".h", ".cc", ".cpp", ".cs", ".go", ".java", ".js", ".ts")
OPENING, CLOSING = ("(", "[", "{"), (")", "]", "}")
TRIPLE = ('"""', "'''")
URL = re.compile(r"(?<=://)[^\s\"'<>)\]]+")


@dataclasses.dataclass(frozen=True)
class Probe:
    """One property of a text, character by character.

    Attributes:
        name: as in "inside quotes".
        meaning: what it says, for people.
        values: (characters,), bool for a yes/no probe, float32 for a graded one.
    """

    name: str
    meaning: str
    values: np.ndarray

    @property
    def graded(self):
        return self.values.dtype != bool


def probes(text, suffix=".txt"):
    """List of `Probe` of a text.

    Args:
        text: str, line ends as \\n.
        suffix: of the file, which says how to read it: .py, .c and its like, .tex;
            anything else is prose.
    """
    marks = Marks(len(text))
    if suffix in PYTHON:
        scan(text, marks, suffix, read_tokens(text, marks))
        depth = Probe("indentation depth", "the blocks around this line", marks.blocks)
    else:
        scan(text, marks, suffix)
        columns = indentation(text)
        depth = Probe("indentation depth", "white space before this line", columns)
    return [
        Probe("inside quotes", "in a text between quotation marks", marks.quotes),
        Probe("inside triple quotes", "in a text between triple quotes", marks.triple),
        Probe("inside a comment", "in a comment", marks.comment),
        Probe("inside a condition", "what an if or a while asks", marks.condition),
        Probe("inside a URL", "in an address, behind ://", inside_url(text)),
        Probe("inside a word", "in a word, a name or a number", inside_word(text)),
        Probe(
            "near the end of the line",
            f"the line ends within the next {NEAR} characters",
            near_end(text),
        ),
        Probe("position in the line", "characters since it began", position(text)),
        depth,
        Probe("bracket depth", "the brackets that are open", marks.brackets),
    ]


# What the characters themselves show


def line_ends(text):
    return np.array([c == "\n" for c in text], bool)


def position(text):
    """Characters since the line began; 0 behind the line end before it."""
    places = np.arange(len(text))
    last = np.maximum.accumulate(np.where(line_ends(text), places, -1))
    return (places - last).astype(np.float32)


def near_end(text):
    """Whether one of the next NEAR characters is a line end."""
    ends = np.concatenate([line_ends(text), np.zeros(NEAR, bool)])
    return np.any([ends[i : i + len(text)] for i in range(1, NEAR + 1)], axis=0)


def indentation(text):
    """Columns of white space at the beginning of the line, as far as it is read."""
    values = np.zeros(len(text), np.float32)
    width, leading = 0, True
    for t, c in enumerate(text):
        if c == "\n":
            width, leading = 0, True
        elif leading and c in " \t":
            width += TAB if c == "\t" else 1
        else:
            leading = False
        values[t] = width
    return values


def inside_word(text):
    return np.array([c.isalnum() or c == "_" for c in text], bool)


def inside_url(text):
    values = np.zeros(len(text), bool)
    for found in URL.finditer(text):
        values[found.start() - 1 : found.end()] = True  # from the last / of :// on
    return values


# What needs an understanding of the language


class Marks:
    """The probes that need an understanding of the language, to be filled in."""

    def __init__(self, size):
        self.quotes, self.triple = np.zeros(size, bool), np.zeros(size, bool)
        self.comment, self.condition = np.zeros(size, bool), np.zeros(size, bool)
        self.brackets = np.zeros(size, np.float32)
        self.blocks = np.zeros(size, np.float32)


def read_tokens(text, marks):
    """Fill in `marks` by Python's `tokenize`.

    Returns:
        the place up to which it understood the text: the end of a statement, or that of
        the text.
    """
    begins = np.cumsum([0, *(len(line) + 1 for line in text.split("\n"))])
    formatted = []  # begin and first token of the f-strings that are open
    blocks, depths = [(0, 0)], [(0, 0)]  # (place, number from there on)
    condition = None  # its first place and the bracket depth around it
    fresh, done = True, 0  # whether a statement begins; where the last one ended
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            begin, end = (begins[y - 1] + x for y, x in (token.start, token.end))
            kind, depth = tokenize.tok_name[token.type], depths[-1][1]
            if kind == "ERRORTOKEN":
                break
            if kind == "STRING":
                mark_string(marks, begin, token.string, end)
            elif kind == "FSTRING_START":
                formatted.append((begin, token.string))
            elif kind == "FSTRING_END":
                mark_string(marks, *formatted.pop(), end)
            elif kind == "COMMENT":
                marks.comment[begin:end] = True
            elif kind in ("INDENT", "DEDENT"):
                more = 1 if kind == "INDENT" else -1
                line = begins[token.start[0] - 1]  # Its white space belongs to it.
                blocks.append((line, blocks[-1][1] + more))
            elif fresh and token.string in ("if", "elif", "while"):
                condition = end, depth
            elif formatted:
                pass  # The colon and the braces of a field, {x:.2f}, are its own.
            elif token.string in OPENING:
                depths.append((begin, depth + 1))
            elif token.string in CLOSING:
                depths.append((begin, max(depth - 1, 0)))
            elif token.string == ":" and condition and condition[1] == depth:
                marks.condition[condition[0] : begin] = True
                condition = None
            if kind == "NEWLINE":
                condition, done = None, end
            fresh = kind in ("NEWLINE", "INDENT", "DEDENT", "NL", "COMMENT", "ENCODING")
        else:
            done = len(text)
    except (tokenize.TokenError, SyntaxError):
        pass  # `scan` reads the rest.
    fill_steps(marks.blocks, blocks)
    fill_steps(marks.brackets, depths)
    return done


def mark_string(marks, begin, start, end):
    """A string from `begin` to `end` whose token or first token is `start`."""
    prefix = len(start) - len(start.lstrip("rRbBuUfF"))
    triple = start[prefix : prefix + 3] in TRIPLE
    into = marks.triple if triple else marks.quotes
    into[begin + prefix + (2 if triple else 0) : end - 1] = True


def fill_steps(values, changes):
    """Each of the numbers in `changes`, (place, number), from its place to the next."""
    ends = [place for place, _ in changes[1:]] + [len(values)]
    for (begin, number), end in zip(changes, ends, strict=True):
        values[begin:end] = number


# The scan of what tokenize does not read


def scan(text, marks, suffix, begin=0):
    """Fill in `marks` from `begin`, where a statement begins, to the end."""
    for array in vars(marks).values():
        array[begin:] = 0
    if suffix in PYTHON:
        marks.blocks[begin:] = indentation(text[begin:]) / TAB
    depths = [(begin, 0)]  # (place, brackets open from there on)
    condition = None  # its first place, the depth around it, what ends it
    pending = False  # whether the next bracket opens a condition
    for found in PATTERNS.get(suffix, PROSE).finditer(text, begin):
        what, depth, (start, end) = found.lastgroup, depths[-1][1], found.span()
        if what == "quotes":
            mark_string(marks, start, found[0], end)
        elif what == "line_comment":
            marks.comment[end - len(found["content"]) - 1 : end] = True
        elif what == "block_comment":
            marks.comment[start + 1 : end - 1] = True
        elif what == "statement" and not depth:  # if ... :
            condition = end, depth, ":"
        elif what == "line_end" and not depth:
            condition = None  # It was none.
        elif what == "keyword":  # if ( ... )
            pending = True
        elif what == "opening":
            if pending:
                condition, pending = (start, depth, ")"), False
            depths.append((start, depth + 1))
        elif what == "closing":
            depths.append((start, max(depth - 1, 0)))
        elif what == "paragraph":  # What prose left open it has forgotten.
            depths.append((start, 0))
        if condition and found[0] == condition[2] and depths[-1][1] == condition[1]:
            marks.condition[condition[0] : start] = True
            condition = None
    fill_steps(marks.brackets, depths)


def pattern(quotes, *others):
    """A regular expression of the marks that `scan` looks for, the first that fits.

    Args:
        quotes: list of expressions of quotations.
        others: expressions with a group of the name of what they find.
    """
    parts = [rf"(?P<quotes>{'|'.join(quotes)})", *others]
    parts += [r"(?P<opening>[(\[{])", r"(?P<closing>[)\]}])", r"\\."]
    return re.compile("|".join(parts), re.DOTALL | re.MULTILINE)


def quotation(opening, closing):
    """A quotation of prose, which ends with its paragraph at the latest."""
    return rf"{opening}(?:(?!{closing}|\n[ \t]*\n).)*{closing}"


# In code a quotation ends on its line, unless a backslash stands before the line's end.
CODE = [r'"(?:\\.|[^"\\\n])*"', r"'(?:\\.|[^'\\\n])*'"]
PROSE_QUOTATIONS = [quotation(*pair) for pair in ('""', "“”", "«»", "「」", "『』")]
PROSE_QUOTATIONS += [r"‘(?:(?!\n[ \t]*\n)[^’]|’(?=\w))*’"]  # ’ is an apostrophe too
PARAGRAPH = r"(?P<paragraph>\n[ \t]*\n)"

PROSE = pattern(PROSE_QUOTATIONS, PARAGRAPH)
PATTERNS = {
    **dict.fromkeys(
        PYTHON,
        pattern(
            [rf"{mark}(?:\\.|.)*?(?:{mark}|\Z)" for mark in TRIPLE] + CODE,
            r"(?P<line_comment>\#(?P<content>[^\n]*))",
            r"^[ \t]*(?P<statement>(?:if|elif|while)\b)",
            r"(?P<colon>:)|(?P<line_end>\n)",
        ),
    ),
    **dict.fromkeys(
        C_LIKE,
        pattern(
            CODE,
            r"(?P<line_comment>//(?P<content>[^\n]*))",
            r"(?P<block_comment>/\*.*?\*/)",
            r"(?P<keyword>\b(?:if|while)\b)",
        ),
    ),
    ".tex": pattern(
        [*PROSE_QUOTATIONS, quotation("``", "''")],
        r"(?<!\\)(?P<line_comment>%(?P<content>[^\n]*))",
        PARAGRAPH,
    ),
}
