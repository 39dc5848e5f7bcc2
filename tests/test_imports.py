"""Who may import whom: an import is an arrow, and every arrow runs down.

The walk reads the source of layers/ and apps/, so that an import inside a function
counts like one at the top of a file. What only a type checker reads (`if
typing.TYPE_CHECKING`) is never run and does not count.
"""

import ast
import functools
import graphlib
import pathlib
import typing

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# The rooms of apps/core, lowest first. A room imports from the lines before its own and
# from itself, never from its neighbours in the same line.
CORE = (
    ("errors",),
    ("files", "settings"),
    ("data",),
    ("inputs", "report"),
    ("training", "serving"),
    ("tasks",),
    ("folds",),
    ("run",),
    ("app", "served"),
    ("lazy",),
)
# The modules of an app, lowest first. Those of all other names stand in the middle line
# and may import one another, data and model.
APP = (
    ("config",),
    ("data", "model"),
    ("task",),
)
MIDDLE = 1
# What is no app and has the registry.
DOORS = ("cli", "web")
# They import by names that are known only at run time, and an app's own modules alone.
BY_NAME = ("apps/__init__.py", "apps/core/lazy.py")
# The one that repairs functions inside Keras.
REPAIRS = "apps/core/training/keras_repairs.py"


class Arrow(typing.NamedTuple):
    """An import: the module `source` imports the module or package `target`."""

    source: str
    target: str
    where: str  # path:line


def read(root):
    """Path -> text of the Python files that are checked."""
    return {
        str(path.relative_to(root)): path.read_text("utf-8")
        for part in ("layers", "apps", "benchmarks")
        for path in sorted((root / part).rglob("*.py"))
    }


def faults(sources):
    """Every wrong import in `sources` (path -> text), a line each, with its place."""
    wrong = [fault for path, text in sources.items() for fault in foreign(path, text)]
    arrows = arrows_of(sources)
    for arrow in arrows:
        if reason := upward(arrow.source.split(".")[1:], arrow.target.split(".")[1:]):
            wrong.append(f"{arrow.where} imports {arrow.target}: {reason}")
    return list(dict.fromkeys(wrong + circles(arrows)))


# From source to arrows


@functools.cache
def imports_in(text):
    """The import statements of a file, and its calls that import by a name."""
    return [
        node
        for node in runtime_nodes(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        or isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("import_module", "__import__"))
    ]


def runtime_nodes(tree):
    """All nodes below a node, without those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from runtime_nodes(node)


def imported_names(node, package):
    """The dotted names that a statement imports, relative ones resolved.

    `from a import b` gives a.b, which may be a module or something inside of a.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = [node.module] if node.module else []
    if node.level:
        parts = package.split(".")
        base = parts[: len(parts) - node.level + 1] + base
    return [".".join([*base, alias.name]) for alias in node.names]


def module_of(path):
    """apps/core/data/order.py -> saccade.apps.core.data.order"""
    name = "saccade." + path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def package_of(path):
    return "saccade." + path.rpartition("/")[0].replace("/", ".")


def inside(name, package):
    """Whether a dotted name is a package or in it."""
    return f"{name}.".startswith(f"{package}.")


def arrows_of(sources):
    """The imports of layers/ and apps/ among themselves."""
    ours = {path: text for path, text in sources.items() if "benchmarks" not in path}
    modules = set(map(module_of, ours))
    arrows = []
    for path, text in ours.items():
        for node in imports_in(text):
            if isinstance(node, ast.Call):
                continue
            for name in imported_names(node, package_of(path)):
                if not inside(name, "saccade"):
                    continue
                while name not in modules and "." in name:
                    name = name.rpartition(".")[0]
                arrows.append(Arrow(module_of(path), name, f"{path}:{node.lineno}"))
    return arrows


# What is wrong


def foreign(path, text):
    """Imports that are wrong whatever they import: hidden, absolute, inside Keras."""
    for node in imports_in(text):
        where = f"{path}:{node.lineno}"
        if isinstance(node, ast.Call):
            if path not in BY_NAME and "benchmarks" not in path:
                yield f"{where} imports by a name, so that no reader sees which"
            continue
        names = imported_names(node, package_of(path))
        if path != REPAIRS and any(inside(name, "keras.src") for name in names):
            yield f"{where} imports from inside Keras: only {REPAIRS} may"
        absolute = isinstance(node, ast.Import) or not node.level
        if absolute and "benchmarks" not in path:
            if any(inside(name, "saccade") for name in names):
                yield f"{where} imports saccade by its name: expected a relative import"


def upward(source, target):
    """Why an arrow runs back up, or None. Both are the parts of a module's name."""
    if target[:1] == ["layers"]:
        return None
    if source[0] == "layers":
        return "layers import layers alone"
    if target[:1] != ["apps"]:
        return "this is no module"
    source, target = source[1:], target[1:]
    if not source:
        return None if target[0] == "core" else "the registry imports core alone"
    if not target:
        return None if source[0] in DOORS else "only the command line has the registry"
    if source[0] == "core":
        if target[0] != "core":
            return "core imports no app"
        return upward_in_core(source[1:], target[1:])
    if target[0] == "core":
        return None
    if source[0] != target[0]:
        return "an app imports no other app, and the command line none"
    return None if source[0] in DOORS else upward_in_app(source[1:], target[1:])


def upward_in_core(source, target):
    if not (source and target):
        return "core's own __init__ imports and offers nothing"
    source, target = source[0], target[0]
    for room in (source, target):
        if not any(room in line for line in CORE):
            return f"{room} has no place in CORE of {pathlib.Path(__file__).name}"
    if source == target or height(source, CORE) > height(target, CORE):
        return None
    return f"{target} does not lie below {source}"


def upward_in_app(source, target):
    if not (source and target):
        return "an app's own __init__ finds its modules by core.lazy"
    source, target = source[0], target[0]
    if source == target or height(source, APP) > height(target, APP):
        return None
    both_in_the_middle = height(source, APP) == height(target, APP) == MIDDLE
    if both_in_the_middle and {source, target} != {"data", "model"}:
        return None
    return f"{target} does not lie below {source}"


def height(name, lines):
    return next((i for i, line in enumerate(lines) if name in line), MIDDLE)


def circles(arrows):
    """A list that names one circle of imports, if there is any."""
    graph = {}
    for arrow in arrows:
        graph.setdefault(arrow.source, set()).add(arrow.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]
        steps = set(zip(circle[:-1], circle[1:], strict=True))
        places = [a.where for a in arrows if (a.source, a.target) in steps]
        return [f"{', '.join(places)} are a circle: {' -> '.join(circle)}"]
    return []


def test_every_arrow_runs_down():
    found = faults(read(ROOT))
    assert not found, "\n".join(found)


def test_every_room_is_there():
    there = {path.stem for path in (ROOT / "apps/core").iterdir()}
    assert {room for line in CORE for room in line} <= there


LATER = "def later():\n    "


@pytest.mark.parametrize(
    "path, line, reason",
    [
        # layers, apps, core
        ("layers/gru.py", "from ..apps.core import errors", "layers import layers"),
        ("layers/gru.py", LATER + "from .. import apps", "layers import layers"),
        ("apps/core/report/plot.py", "from ...captioning import scenes", "no app"),
        ("apps/core/app.py", LATER + "from ..cli import main", "core imports no app"),
        ("apps/core/lazy.py", LATER + "from .. import load", "has the registry"),
        ("apps/char_lm/data.py", "from .. import REGISTRY", "has the registry"),
        ("apps/char_lm/data.py", "from ..word_lm import grammar", "no other app"),
        ("apps/char_lm/data.py", "from ..cli import main", "no other app"),
        ("apps/cli/demo.py", "from ..captioning import scenes", "command line none"),
        ("apps/__init__.py", "from . import captioning", "registry imports core alone"),
        ("apps/__init__.py", LATER + "from .cli import main", "imports core alone"),
        # the rooms of core
        ("apps/core/errors.py", "from .files import whole", "files does not lie below"),
        ("apps/core/files/whole.py", "from ..settings import fields", "not lie below"),
        ("apps/core/data/order.py", "from ..inputs import pictures", "not lie below"),
        ("apps/core/data/order.py", "from ..training import loop", "not lie below"),
        ("apps/core/training/loop.py", "from ..tasks import language", "not lie below"),
        (
            "apps/core/serving/server.py",
            LATER + "from ..training.loop import train",
            "training does not lie below serving",
        ),
        (
            "apps/core/serving/client.py",
            LATER + "from ..tasks.language.serving import PIECE",
            "tasks does not lie below serving",
        ),
        ("apps/core/novel.py", "from .errors import UserError", "novel has no place"),
        ("apps/core/data/order.py", "from .. import VERSION", "core's own __init__"),
        ("apps/core/__init__.py", "from .data import order", "core's own __init__"),
        # an app
        ("apps/captioning/config.py", "from . import data", "data does not lie below"),
        ("apps/captioning/config.py", "from . import scenes", "scenes does not lie"),
        ("apps/captioning/model.py", "from .task import task_for", "task does not lie"),
        ("apps/captioning/model.py", LATER + "from . import data", "data does not lie"),
        ("apps/captioning/data.py", "from .model import CELLS", "model does not lie"),
        ("apps/captioning/scenes.py", "from . import task", "task does not lie"),
        ("apps/captioning/__init__.py", "from . import data", "own __init__ finds"),
        ("apps/captioning/data.py", "from . import APP", "own __init__ finds"),
        # circles
        ("layers/products.py", LATER + "from . import time_loop", "are a circle"),
        ("apps/core/training/workers.py", "from . import devices", "are a circle"),
        ("apps/captioning/annotations.py", "from .data import EXAMPLE", "are a circle"),
        # whatever they import
        ("layers/gru.py", "from saccade.layers import lstm", "relative import"),
        ("apps/core/app.py", "import saccade.layers.gru", "relative import"),
        ("layers/gru.py", "from keras.src import backend", "inside Keras"),
        ("layers/gru.py", "import keras.src.backend", "inside Keras"),
        ("apps/core/app.py", LATER + "from keras import src", "inside Keras"),
        ("benchmarks/layers.py", "from keras.src.layers import RNN", "inside Keras"),
        ("apps/core/app.py", 'importlib.import_module("saccade")', "by a name"),
        ("apps/char_lm/data.py", '__import__("saccade.apps.cli")', "by a name"),
        # A package may gather its modules, and what only a type checker reads is no
        # arrow: these are right.
        ("apps/core/inputs/__init__.py", "from .pictures import read", None),
        (
            "apps/core/files/whole.py",
            "if typing.TYPE_CHECKING:\n    from ..app import App",
            None,
        ),
    ],
)
def test_a_wrong_arrow_is_found_and_named(path, line, reason):
    sources = read(ROOT)
    before = faults(sources)
    text = sources.get(path, "")
    place = f"{path}:{text.count(chr(10)) + line.count(chr(10)) + 1}"
    sources[path] = f"{text}{line}\n"
    found = [fault for fault in faults(sources) if fault not in before]
    if reason is None:
        assert not found
        return
    assert any(place in fault and reason in fault for fault in found), found
