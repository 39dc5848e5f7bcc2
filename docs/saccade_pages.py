"""What the pages show is taken from where it is true: a Sphinx extension.

Before a build it writes a page for each app (docstring, options, presets) and for each
module of `saccade.layers` (docstrings with their equations), and copies the notebooks.
The directive `figures` is a table of benchmarks/results; `mathml` writes formulas
that a browser shows without a script.
"""

import dataclasses
import importlib
import inspect
import json
import pathlib
import re
import string
import textwrap

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.util.docutils import SphinxDirective

from saccade.apps import REGISTRY, load_config_module
from saccade.apps.cli.requests import kinds_of
from saccade.apps.core.settings.command_line import flag_of, help_rows
from saccade.apps.core.settings.fields import as_text, request_fields

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent

# Docstrings

SECTION = re.compile(r"([A-Z][\w ,]*):\n((?: +.*\n?|\n)+)")
ARGUMENT = re.compile(r"^([a-z*][\w*, .]*): ", re.MULTILINE)


def markdown(docstring):
    """A docstring as Markdown: its sections, its lists of arguments, its equations."""
    blocks = re.split(r"\n\n(?= {0,3}\S)", inspect.cleandoc(docstring or ""))
    return "\n\n".join(map(block_of, blocks))


def block_of(block):
    if section := SECTION.fullmatch(block):
        body = textwrap.dedent(section[2]).strip("\n")
        is_code = section[1] == "Example"
        return f"**{section[1]}**\n\n{fenced(body) if is_code else listed(body, 1)}"
    # Behind a blank line stands what is shown as it is: an equation, a command.
    prose, blank, code = block.partition("\n\n")
    if prose.startswith("    "):
        return fenced(textwrap.dedent(block))
    prose = listed(textwrap.dedent(prose), 2)
    return prose + blank + (fenced(textwrap.dedent(code)) if code else "")


def listed(text, least):
    """Prose; where at least so many lines are `name: what it is`, these get bullets."""
    text = re.sub(r",\n(?=\w[\w, ]*: )", ", ", text)
    if len(ARGUMENT.findall(text)) >= least:
        text = ARGUMENT.sub(r"- `\1`: ", text)
    return escaped(text)


def escaped(text):
    """Prose whose brackets, stars and angles are no markup; code stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*\[\]<|$])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def fenced(text, language="text"):
    return f"```{language}\n{text}\n```"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


# A page for each app


def apps_page():
    rows = [(f"[{n}]({n}.md)", load_config_module(n).SUMMARY) for n in REGISTRY]
    links = "```{toctree}\n:hidden:\n\n" + "\n".join(REGISTRY) + "\n```"
    return f"# Apps\n\n{table(('app', 'what it does'), rows)}\n\n{links}"


def app_page(name):
    config = load_config_module(name)
    docs = [importlib.import_module(f"saccade.apps.{name}{m}") for m in ("", ".data")]
    about, data = (markdown(module.__doc__) for module in docs)
    inputs = [
        (" ".join(f"`{flag_of(f)}`" for f in (kind, k.alias) if f), k.help)
        for kind, k in kinds_of(name).items()
    ]
    presets = []
    for preset, settings in config.PRESETS.items():
        words = " ".join(f"{flag_of(k)}={as_text(v)}" for k, v in settings.items())
        presets += [
            f"`{preset}`:",
            fenced(textwrap.fill(words or "as below", 66, break_on_hyphens=False)),
        ]
    claim = ", ".join(f"`{k}` {a:g} to {b:g}" for k, (a, b) in config.CLAIM.items())
    free = ", ".join(f"`{flag_of(f)}`" for f in request_fields(config.Options))
    groups = dict.fromkeys(row.group for row in help_rows(config.Config))
    more = {f"results/{name}.md": "results", f"notebooks/{name}.ipynb": "notebook"}
    links = [f"[{t}](../{p})" for p, t in more.items() if (HERE / p).exists()]
    parts = [f"# {name}", about, " · ".join([*links, "[serving](../serving.md)"])]
    parts += ["## Input", table(("option", "what it is"), inputs)]
    parts += ["## Data", data, "## Presets", *presets]
    own, others = config.preset_for("builtin"), config.preset_for("PATH")
    parts.append(
        f"All else is as below. Without `--preset`, `{own}` is for builtin data and "
        f"`{others}` for your own. The tests hold `tiny` to its claim: {claim}."
    )
    parts.append("## Settings")
    for group in groups:
        parts += [f"### {group}", options_table(config.Config(), group)]
    parts.append("## Options of an answer")
    if dataclasses.fields(config.Options):
        parts.append(options_table(config.Options(), None))
    parts.append(f"A request to an export can set: {free or 'nothing'}.")
    return "\n\n".join(parts)


def options_table(config, group):
    rows = [
        (
            f"`{row.flag.replace('/', '` `')}`",
            f"`{row.default}`",
            re.sub(r"(--[a-z][a-z-]*)", r"`\1`", escaped(row.help)),
        )
        for row in help_rows(config)
        if group in (None, row.group)
    ]
    return table(("option", "default", "what it means"), rows).replace("``", "")


# A page for each module of saccade.layers


def layer_page(name):
    module = importlib.import_module(f"saccade.layers.{name}")
    parts = [f"# {name}", markdown(module.__doc__)]
    for key, value in vars(module).items():
        own = getattr(value, "__module__", "") == module.__name__
        if own and not key.startswith("_") and callable(value):
            parts += described(key, value, "##")
    return "\n\n".join(parts)


def described(name, value, heading):
    """A heading, the call, the docstring; of a class, its own public methods too."""
    parameters = inspect.signature(value).parameters.values()
    arguments = [p.replace(annotation=p.empty) for p in parameters if p.name != "self"]
    call = f"{name}({', '.join(map(str, arguments))})"
    if len(call) > 72:
        call = f"{name}(\n" + "".join(f"    {a},\n" for a in arguments) + ")"
    call = re.sub(r"<[\w.]+\.(\w+) object at \w+>", r"\1()", call)
    parts = [f"{heading} {name}", fenced(call, "python"), markdown(value.__doc__)]
    for key, method in vars(value).items() if inspect.isclass(value) else ():
        if inspect.isfunction(method) and method.__doc__ and not key.startswith("_"):
            parts += described(f"{name}.{key}", method, "###")
    return parts


# Tables of figures


class Cells(string.Formatter):
    """Formats a row; what it lacks stays empty."""

    def get_field(self, name, args, row):
        try:
            return super().get_field(name, args, row)
        except KeyError:
            return None, name

    def format_field(self, value, form):
        return "" if value is None else super().format_field(value, form)


def figures(source, form, across=""):
    """A table of benchmarks/results, as Markdown.

    Args:
        source: FILE.LIST, where the rows stand.
        form: two lines of a Markdown table, headings and fields of a row in braces.
        across: `heading = value`, both with fields: rows that are else equal become
            one, with a column for each heading.
    """
    file, _, key = source.partition(".")
    path = ROOT / f"benchmarks/results/{file}.json"
    rows = json.loads(path.read_text("utf-8"))[key]
    if isinstance(rows, dict):
        rows = [{"name": name, **row} for name, row in rows.items()]
    head, line = ([c.strip() for c in r.split("|")[1:-1]] for r in form.splitlines())
    cells, (heading, _, value), write = {}, across.partition(" = "), Cells().vformat
    for row in rows:
        left = tuple(write(cell, (), row) for cell in line)
        cells.setdefault(left, {})[write(heading, (), row)] = write(value, (), row)
    more = [*dict.fromkeys(h for right in cells.values() for h in right if h)]
    body = [(*left, *(right.get(h, "") for h in more)) for left, right in cells.items()]
    return table((*head, *more), body)


class Figures(SphinxDirective):
    required_arguments, has_content, option_spec = 1, True, {"across": str}

    def run(self):
        text = figures(self.arguments[0], "\n".join(self.content), **self.options)
        return self.parse_text_to_nodes(text)


# Sphinx


def pages():
    """Path -> text of all that is generated."""
    layers = sorted(path.stem for path in (ROOT / "layers").glob("[!_]*.py"))
    stories = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return {
        "apps/index.md": apps_page(),
        **{f"apps/{name}.md": app_page(name) for name in REGISTRY},
        **{f"layers/{name}.md": layer_page(name) for name in layers},
        **{f"notebooks/{path.name}": path.read_text("utf-8") for path in stories},
    }


def write_pages(app):
    """Writes what has changed, and only that, because Sphinx reads times."""
    made = pages()
    for path in (
        p for d in ("apps", "layers", "notebooks") for p in HERE.glob(f"{d}/*")
    ):
        if str(path.relative_to(HERE)) not in made:
            path.unlink()
    for name, text in made.items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def show_formula(self, node):
    block = isinstance(node, nodes.math_block)
    # \frac14 is a quarter to TeX, and a fraction of 14 to docutils.
    tex = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", node.astext())
    formula = latex2mathml.tex2mathml(tex, as_block=block)
    self.body.append(f'<div class="formula">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    app.connect("builder-inited", write_pages)
    app.add_directive("figures", Figures)
    app.add_html_math_renderer("mathml", (show_formula, None), (show_formula, None))
    return {"parallel_read_safe": True}
