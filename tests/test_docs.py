"""The documentation: what is generated is whole, commands exist, nothing is foreign.

The built pages are those of `make docs`; where there are none, they are built here, or
the test skips.
"""

import html.parser
import importlib
import importlib.util
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig

import pytest
import typer

from saccade import layers
from saccade.apps import REGISTRY, load_config_module
from saccade.apps.cli import cli
from saccade.apps.cli.requests import flags_of
from saccade.apps.core.settings.command_line import flag_of, help_rows

from .machine import seconds

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILT = DOCS / "_build/html"
GENERATED = ("_build", "apps", "layers", "notebooks")
WRITTEN = [
    path
    for path in [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]
    if path.relative_to(ROOT).parts[1:2] not in [(part,) for part in GENERATED]
] + [ROOT / "saved_models/README.md", ROOT / "benchmarks/DATA.md"]
# Apps that a page invents, or leaves open.
NOT_HERE = ("brackets", "APP")


@pytest.fixture(scope="module")
def pages():
    """The module that generates pages."""
    pytest.importorskip("sphinx", reason="needs `make docs`, or pip install .[docs]")
    spec = importlib.util.spec_from_file_location("pages", DOCS / "saccade_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# What is generated


@pytest.mark.parametrize("name", REGISTRY)
def test_the_page_of_an_app_has_every_option(pages, name):
    text, config = pages.app_page(name), load_config_module(name)
    for row in [*help_rows(config.Config), *help_rows(config.Options)]:
        assert f"| `{row.flag.split('/')[0]}`" in text
    assert all(f"`{preset}`:" in text for preset in config.PRESETS)
    assert all(f"`{flag_of(kind)}`" in text for kind in config.kinds(config.Config()))


def test_every_public_layer_is_in_the_reference(pages):
    headings = {
        line.lstrip("# ")
        for name, text in pages.pages().items()
        if name.startswith("layers/")
        for line in text.splitlines()
        if line.startswith("#")
    }
    assert set(layers.__all__) <= headings
    listed = (DOCS / "layers.md").read_text("utf-8") + "Reinforce"
    for name in layers.__all__:
        assert name.removesuffix("Cell") in listed, name


def test_a_docstring_becomes_markdown(pages):
    text = """h = a * b for <all>:

        h = x[0] * y

    Args:
        x, y: two
            numbers.
        others: as in `f`.

    Example:
        >>> f(1)

        2
    """
    assert pages.markdown(text) == (
        "h = a \\* b for \\<all>:\n\n```text\nh = x[0] * y\n```\n\n"
        "**Args**\n\n- `x, y`: two\n    numbers.\n- `others`: as in `f`.\n\n"
        "**Example**\n\n```text\n>>> f(1)\n\n2\n```"
    )


def test_every_table_of_figures_has_rows_and_full_columns(pages):
    directive = re.compile(
        r"```\{figures\} (\S+)\n(?::across: ([^\n]*)\n)?(.*?)```", re.S
    )
    found = [m for path in WRITTEN for m in directive.findall(path.read_text("utf-8"))]
    assert len(found) >= 10
    for source, across, form in found:
        lines = pages.figures(source, form.strip(), across).splitlines()
        columns = zip(*(line.split("|")[1:-1] for line in lines[2:]), strict=True)
        assert len(lines) > 3, source
        assert all(any(c.strip() for c in column) for column in columns), source


# Commands


def commands(text):
    """The command lines that begin with saccade, in blocks of code."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(r"^(?: {4})?(saccade [a-z].*)$", joined, re.MULTILINE)


def wrong_in(command):
    """The first verb, app or option that does not exist; None where all do."""
    verb, *words = shlex.split(command, comments=True)[1:]
    verbs = typer.main.get_command(cli).commands
    if verb not in verbs:
        return verb
    parameters = verbs[verb].params
    known = {o for p in parameters for o in [*p.opts, *p.secondary_opts]}
    if "app" in {parameter.name for parameter in parameters}:
        app = next((word for word in words if not word.startswith("-")), "")
        if app in NOT_HERE:
            return None
        if app not in REGISTRY:
            return app
        config = load_config_module(app)
        rows = [*help_rows(config.Config), *help_rows(config.Options)]
        known |= {flag for row in rows for flag in row.flag.split("/")}
        known |= set(flags_of(app))
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    return next((flag for flag in flags if flag not in known), None)


def test_every_command_exists():
    texts = {str(path): path.read_text("utf-8") for path in WRITTEN}
    for name in REGISTRY:
        texts[name] = importlib.import_module(f"saccade.apps.{name}").__doc__
    found = [(page, line) for page in texts for line in commands(texts[page])]
    assert len(found) > 50
    wrong = [f"{page}: {line}: {w}" for page, line in found if (w := wrong_in(line))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "command, wrong",
    [
        ("saccade sing captioning", "sing"),
        ("saccade train chess", "chess"),
        ("saccade train sentiment --unit 3", "--unit"),
        ("saccade predict sentiment --image cat.jpg", "--image"),
        ("saccade serve --door 80", "--door"),
        ("saccade train sentiment --no-lower --units=3 --out x  # a word", None),
    ],
)
def test_a_wrong_command_is_found(command, wrong):
    assert wrong_in(command) == wrong


# Pages that say how to add something


def add(page, root):
    """Does to the tree in `root` what the blocks of a page say that have a file's name
    in their caption; what stands before or behind a line goes there."""
    text = (DOCS / "extend" / page).read_text("utf-8")
    block = re.compile(r"```\{code-block\} \w+\n:caption: (.*?)\n\n(.*?)\n```", re.S)
    for caption, code in block.findall(text):
        _, name, place, *line = caption.split("`")
        file, where, line = root / name, place.strip(" ,"), "".join(line)
        if not name.startswith(("apps/", "layers/")):
            continue
        if not where:
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{code}\n", "utf-8")
            continue
        before, found, rest = file.read_text("utf-8").partition(line)
        assert found and where in ("before", "behind"), caption
        if where == "before":
            file.write_text(f"{before}{code}\n\n\n{line}{rest}", "utf-8")
        else:
            file.write_text(f"{before}{line}\n{code}{rest}", "utf-8")


@pytest.mark.slow
def test_what_the_pages_add_works(tmp_path):
    for part in ("layers", "apps"):
        shutil.copytree(ROOT / part, tmp_path / "saccade" / part)
    for page in ("app.md", "cell.md", "kind.md"):
        add(page, tmp_path / "saccade")
    text = (DOCS / "extend/kind.md").read_text("utf-8")
    kind = re.search(r"## 2.*?```\{code-block\} python\n(.*?)```", text, re.S)[1]
    main = "import sys; from saccade.apps.cli import main; sys.argv[0] = 'saccade'; "
    train = "train brackets --preset tiny --steps 12 --cell leaky --out run"
    predict = "predict brackets run --text (()())"
    verbs = [train, predict, "export brackets run"]
    calls = [[kind], *([f"{main}main()", *verb.split()] for verb in verbs)]
    # -S: without site, whose .pth files would mount the editable install.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *libraries])}
    printed = []
    for code, *words in calls:
        done = subprocess.run(
            [sys.executable, "-S", "-c", code, *words],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=seconds(200),
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert "is no number" in printed[0]
    assert "accuracy" in printed[1]
    assert printed[2].startswith(("balanced", "broken"))
    assert "exported: saved_models/brackets/1" in printed[3]


# Nothing from another host

FOREIGN = re.compile(r"\s*(?:[a-z]+:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(|@import(?!\s*url))\s*["']?([^"')\s]+)""")
IN_SCRIPT = re.compile(
    r"""(?:\bimport|\bfrom|importScripts|fetch|\.src\s*=|\.open)\s*\(?\s*"""
    r"""(?:["'`][A-Z]+["'`]\s*,\s*)?["'`]([^"'`]+)"""
)


class Resources(html.parser.HTMLParser):
    """What a browser loads by itself when it shows a page."""

    def __init__(self):
        super().__init__()
        self.found, self.inside = [], ""

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        given = {name: value or "" for name, value in attributes}
        for name in ("src", "data", "poster", "srcset", "background"):
            self.found += re.split(r",\s+", given.get(name, ""))
        if tag in ("link", "image", "use"):
            self.found += [given.get("href", ""), given.get("xlink:href", "")]
        self.found += IN_STYLE.findall(given.get("style", ""))

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, text):
        if self.inside in ("style", "script"):
            pattern = IN_STYLE if self.inside == "style" else IN_SCRIPT
            self.found += pattern.findall(text)


def resources(path):
    text = path.read_text("utf-8")
    if path.suffix == ".css":
        return IN_STYLE.findall(text)
    if path.suffix == ".js":
        return IN_SCRIPT.findall(text)
    parser = Resources()
    parser.feed(text)
    return parser.found


def foreign(folder):
    """What the pages in a folder load from another host: `page: address`, sorted."""
    paths = [
        p for p in folder.rglob("*") if p.suffix in (".html", ".css", ".js", ".svg")
    ]
    return sorted(
        f"{path.relative_to(folder)}: {address}"
        for path in paths
        for address in resources(path)
        if FOREIGN.match(address)
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the built pages."""
    if (BUILT / "index.html").exists():
        return BUILT
    pytest.importorskip("sphinx", reason="no built pages; make docs builds them")
    folder = tmp_path_factory.mktemp("html")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "--quiet", DOCS, folder],
        capture_output=True,
        text=True,
        timeout=seconds(300),
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_pages_load_nothing_from_another_host(built):
    assert len(list(built.rglob("*.html"))) > 40
    assert not foreign(built)


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.html", '<img src="https://host.example/a.png">'),
        ("a.html", '<img srcset="a.png 1x, //host.example/a.png 2x">'),
        ("a.html", '<script src="//host.example/a.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="http://host.example/a.css">'),
        ("a.html", '<link rel="preconnect" href="https://host.example">'),
        ("a.html", '<iframe src="https://host.example"></iframe>'),
        ("a.html", "<p style=\"background: url('https://host.example/a.png')\">"),
        ("a.html", '<style>@import "https://host.example/a.css";</style>'),
        ("a.html", '<script type="module">import "https://host.example/a";</script>'),
        ("a.html", '<svg><image xlink:href="https://host.example/a.png"/></svg>'),
        ("a.css", "@font-face { src: url(https://host.example/a.woff2) }"),
        ("a.css", '@import url("//host.example/a.css");'),
        ("a.js", 'import {a} from "https://host.example/a.js"'),
        ("a.js", 's.src = "https://host.example/a.js"'),
        ("a.js", 'r.open("GET", "https://host.example/a")'),
    ],
)
def test_a_foreign_resource_is_found(tmp_path, name, text):
    (tmp_path / name).write_text(text, "utf-8")
    assert len(foreign(tmp_path)) == 1


def test_what_is_at_home_or_only_linked_is_right(tmp_path):
    page = '<a href="https://host.example">x</a><img src="a.png"><img src="data:x,//y">'
    (tmp_path / "a.html").write_text(page, "utf-8")
    assert not foreign(tmp_path)
