"""Nothing that is loaded can run code, or read or write outside of its folder.

A run folder, a checkpoint, a table of captions may come from somebody else.
"""

import ast
import io
import json
import os
import pathlib
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from saccade import apps
from saccade.apps.captioning import data as captioning_data
from saccade.apps.core.errors import UserError

from .groups import each_app

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted(
    path for top in ("layers", "apps") for path in (ROOT / top).rglob("*.py")
)

# The source

# They can run code that a file brings along.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
MODULES |= {"yaml", "torch", "imp", "code", "runpy"}
FUNCTIONS = {"eval", "exec", "compile", "__import__", "Lambda"}
METHODS = {"Lambda", "enable_unsafe_deserialization", "system", "popen", "extractall"}
METHODS |= {"unpack_archive", "load_library", "load_op_library"}
SWITCHES = {("allow_pickle", True), ("safe_mode", False), ("shell", True)}


def imported(node):
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {node.module.split(".")[0]}
    return set()


def faults(source):
    """(line, what) of everything in a Python source that could run a file's code."""
    for node in ast.walk(ast.parse(source)):
        for module in imported(node) & MODULES:
            yield node.lineno, f"import {module}"
        if not isinstance(node, ast.Call):
            continue
        bare = getattr(node.func, "id", "") in FUNCTIONS
        if bare or getattr(node.func, "attr", "") in METHODS:
            yield node.lineno, f"{ast.unparse(node.func)}()"
        for keyword in node.keywords:
            for switch, value in SWITCHES:
                if keyword.arg == switch and (
                    not isinstance(keyword.value, ast.Constant)
                    or keyword.value.value is value
                ):
                    yield node.lineno, ast.unparse(keyword)


def test_no_source_can_run_code_from_data():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in SOURCES
        for line, what in faults(path.read_text("utf-8"))
    ]
    assert len(SOURCES) > 30
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import torch.serialization",
        "eval(text)",
        "compile(text, 'a', 'exec')",
        "np.load(file, allow_pickle=True)",
        "keras.models.load_model(path, safe_mode=False)",
        "keras.models.load_model(path, safe_mode=mode)",
        "keras.config.enable_unsafe_deserialization()",
        "keras.layers.Lambda(f)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "archive.extractall(folder)",
    ],
)
def test_the_test_of_the_source_would_notice(line):
    assert list(faults(line))
    assert not list(faults("re.compile('a'); np.load(f, allow_pickle=False)"))


# A run's folder from somebody else


@pytest.fixture
def folder(run, tmp_path):
    """A copy of an honest run, in a folder of its own inside of another."""
    return shutil.copytree(run.folder, tmp_path / "around" / "run")


def everything(path):
    return {
        p: None if p.is_dir() else p.read_bytes()
        for p in path.rglob("*")
        if not p.is_symlink()
    }


class Ran:
    """What a pickle can do: run a command when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def weights(folder):
    """The weights file inside of a run's model.keras, as h5py opens it to change it."""
    with zipfile.ZipFile(folder / "model.keras") as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def put(folder, **members):
    """Write model.keras anew with some of its members replaced."""
    with zipfile.ZipFile(folder / "model.keras") as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, content in {**old, **members}.items():
            if content is not None:
                archive.writestr(name, content)


def first_dataset(file):
    """The name of some weight in a weights file."""
    found = []
    file.visititems(
        lambda name, item: (
            found.append(name) if isinstance(item, h5py.Dataset) else None
        )
    )
    return found[0]


def relink(folder, link):
    """Put a link in the place of a weight."""
    content = weights(folder)
    with h5py.File(content, "r+") as file:
        name = first_dataset(file)
        del file[name]
        file[name] = link
    put(folder, **{"model.weights.h5": content.getvalue()})


def external_link(folder, outside):
    with h5py.File(outside / "secret.h5", "w") as file:
        file["secret"] = np.zeros(3)
    relink(folder, h5py.ExternalLink(str(outside / "secret.h5"), "secret"))


def external_storage(folder, outside):
    """Numbers that lie in another file of the machine."""
    (outside / "secret").write_bytes(bytes(10_000_000))
    content = weights(folder)
    with h5py.File(content, "r+") as file:
        name = first_dataset(file)
        shape = file[name].shape
        del file[name]
        size = int(np.prod(shape)) * 4
        file.create_dataset(
            name, shape, "f4", external=[(str(outside / "secret"), 0, size)]
        )
    put(folder, **{"model.weights.h5": content.getvalue()})


def huge_shape(folder, outside):
    """A weight that claims terabytes and holds nothing."""
    content = weights(folder)
    with h5py.File(content, "r+") as file:
        name = first_dataset(file)
        del file[name]
        file.create_dataset(name, (10**6, 10**6), "f4", chunks=(1000, 1000))
    put(folder, **{"model.weights.h5": content.getvalue()})


def lambda_model(folder, outside):
    """The model of somebody who hopes that `load_model` runs his function."""
    marker = str(outside / "ran")
    inputs = keras.Input([3])
    outputs = keras.layers.Lambda(lambda x, m=marker: (os.mkdir(m), x)[1])(inputs)
    shutil.rmtree(marker, ignore_errors=True)
    keras.Model(inputs, keras.layers.Dense(2)(outputs)).save(folder / "model.keras")
    shutil.rmtree(marker, ignore_errors=True)


def no_zip(folder, outside):
    (folder / "model.keras").write_bytes(b"no archive")


def empty_file(folder, outside):
    (folder / "model.keras").write_bytes(b"")


def torn_zip(folder, outside):
    content = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(content[: len(content) // 2])


def damaged_weights(folder, outside):
    content = bytearray(weights(folder).getvalue())
    content[100:3000] = np.random.default_rng(0).bytes(2900)
    put(folder, **{"model.weights.h5": bytes(content)})


def no_weights(folder, outside):
    put(folder, **{"model.weights.h5": None})


def other_shapes(folder, outside):
    content = weights(folder)
    with h5py.File(content, "r+") as file:
        name = first_dataset(file)
        del file[name]
        file[name] = np.zeros([3, 5], np.float32)
    put(folder, **{"model.weights.h5": content.getvalue()})


def a_pickle(folder, outside):
    np.save(outside / "x.npy", np.array([Ran(outside / "ran")], object))
    shutil.move(outside / "x.npy", folder / "model.keras")


def a_folder(folder, outside):
    (folder / "model.keras").unlink()
    (folder / "model.keras").mkdir()


def text_instead(file, text):
    def spoil(folder, outside):
        (folder / file).write_bytes(text)

    spoil.__name__ = f"{file}: {text[:20]!r}"
    return spoil


def no_assets(folder, outside):
    (folder / "assets.json").unlink()


REFUSED = [
    external_link,
    external_storage,
    huge_shape,
    lambda_model,
    no_zip,
    empty_file,
    torn_zip,
    damaged_weights,
    no_weights,
    other_shapes,
    a_pickle,
    a_folder,
    no_assets,
    *(
        text_instead(file, text)
        for file in ("assets.json", "config.json")
        for text in (b"", b"\x80\x04K\x01.", b"[]", b"[" * 100_000, b'{"tokens": 1}')
    ),
    text_instead("config.json", b'{"learning_rate": 1' + b"0" * 400 + b"}"),
    text_instead("config.json", b'{"seed": 1' + b"0" * 5000 + b"}"),
    text_instead("config.json", b'{"data": "half a character: \\ud800"}'),
    text_instead("config.json", b'{"learning_rate": NaN}'),
]


@each_app("char_lm")
@pytest.mark.parametrize("spoil", REFUSED, ids=lambda spoil: spoil.__name__)
def test_a_hostile_run_is_refused(folder, tmp_path, spoil):
    outside = tmp_path / "outside"
    outside.mkdir()
    spoil(folder, outside)
    before = everything(tmp_path)
    with pytest.raises(UserError) as caught:
        apps.load("char_lm").load(folder)
    assert str(folder) in str(caught.value) or "JSON" in str(caught.value)
    assert everything(tmp_path) == before


@each_app("char_lm")
def test_names_in_an_archive_lead_nowhere(folder, run, tmp_path):
    """A member that would be written outside is not: nothing is unpacked at all."""
    put(
        folder,
        **{
            "../escaped": b"1",
            "../../escaped": b"2",
            str(tmp_path / "absolute"): b"3",
            "assets/../../../escaped": b"4",
            "config.json": b"[1, 2",  # is not read either
        },
    )
    before = everything(tmp_path)
    app = apps.load("char_lm")
    loaded = app.load(folder)
    assert everything(tmp_path) == before
    for got, value in zip(
        loaded.model.get_weights(), run.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(got, value)


@each_app("char_lm")
def test_a_pickled_checkpoint_is_refused(folder, tmp_path):
    checkpoints = list(folder.rglob("*.npz"))
    assert checkpoints
    for path in checkpoints:
        with open(path, "wb") as file:
            np.savez(file, np.array([Ran(tmp_path / "ran")], object), allow_pickle=True)
    app = apps.load("char_lm")
    with pytest.raises(UserError, match="round-.*npz is missing or damaged.*pickle"):
        app.train(app.presets["tiny"](), out=folder, resume=True)
    assert not (tmp_path / "ran").exists()


# Paths in data


@pytest.fixture
def pictures(tmp_path):
    """A folder with a picture, and a secret one beside the folder."""
    inside = tmp_path / "data"
    inside.mkdir()
    for path in (inside / "a.png", tmp_path / "secret.png"):
        Image.new("RGB", (8, 8), "red").save(path)
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "kept.png").symlink_to(inside / "a.png")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    (inside / "sub").symlink_to(tmp_path)
    return inside


def read(folder, **settings):
    from saccade.apps.captioning.config import PRESETS, Config

    settings = {"data": str(folder), "split": "100/0/0", **settings}
    return captioning_data.load_data(Config(**PRESETS["tiny"] | settings))


def tables(name):
    """Files of every form that name this picture in their second row, and how an error
    calls that place."""
    rows = [{"image": n, "caption": "a cat"} for n in ("a.png", name)]
    coco = {
        "images": [{"id": i, "file_name": r["image"]} for i, r in enumerate(rows)],
        "annotations": [
            {"id": i, "image_id": i, "caption": "a cat"} for i in range(len(rows))
        ],
    }
    karpathy = {
        "images": [
            {"filename": r["image"], "split": "train", "sentences": [{"raw": "a cat"}]}
            for r in rows
        ]
    }
    return {
        "captions.csv": (f"image,caption\na.png,a cat\n{name},a cat\n", "line 3"),
        "captions.tsv": (f"image\tcaption\na.png\ta cat\n{name}\ta cat\n", "line 3"),
        "captions.jsonl": ("\n".join(map(json.dumps, rows)), "line 2"),
        "captions.json": (json.dumps(coco), "annotation 1"),
        "dataset.json": (json.dumps(karpathy), r"images\[1\].sentences\[0\]"),
        "captions.txt": (f"image,caption\na.png,a cat\n{name},a cat\n", "line 3"),
        "captions.token": (f"a.png#0\ta cat\n{name}#0\ta cat\n", "line 2"),
    }


@pytest.mark.parametrize("file", tables(""))
@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "/etc/passwd",
        "SECRET",
        "link.png",
        "sub/secret.png",
        "loop.png",
    ],
)
def test_a_table_cannot_name_pictures_outside_of_its_folder(pictures, name, file):
    text, place = tables(name.replace("SECRET", str(pictures.parent / "secret.png")))[
        file
    ]
    (pictures / file).write_text(text)
    with pytest.raises(UserError, match=f"{file}, {place}: the picture .*(outside|no)"):
        read(pictures)
    assert len(read(pictures, skip_bad=True, bad_at_most=50).train) == 1


@pytest.mark.parametrize("name", ["kept.png", "../data/a.png", "ABSOLUTE"])
def test_whatever_leads_inside_is_taken(pictures, name):
    name = name.replace("ABSOLUTE", str(pictures / "a.png"))
    (pictures / "captions.csv").write_text(f"image,caption\n{name},a cat\n")
    assert len(read(pictures).train) == 1


def test_a_user_can_name_the_folder_that_holds_all_pictures(pictures):
    (pictures / "captions.csv").write_text("image,caption\ndata/link.png,a cat\n")
    assert len(read(pictures, image_dir=str(pictures.parent)).train) == 1


def test_tables_may_not_name_what_is_no_file(pictures):
    (pictures / "pipe.png").parent.mkdir(exist_ok=True)
    os.mkfifo(pictures / "pipe.png")  # would wait for ever
    (pictures / "captions.csv").write_text("image,caption\npipe.png,a cat\n")
    with pytest.raises(UserError, match="line 2: there is no picture"):
        read(pictures)
