"""The export through the loader of TF Serving: C++, no Python, XLA switched off."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from saccade.apps.captioning import APP

from ..apps.runs import moved_export

pytestmark = pytest.mark.serving

SOURCE = pathlib.Path(__file__).with_name("sm_run.cc")


@pytest.fixture(scope="session")
def sm_run(tmp_path_factory):
    """The C++ program, built against the installed TensorFlow."""
    compiler = shutil.which("g++")
    if compiler is None:
        reason = "no g++ here to build sm_run.cc with (Debian: apt install g++)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent
    program = tmp_path_factory.mktemp("sm_run") / "sm_run"
    subprocess.run(
        [
            compiler,
            *("-std=c++17", "-O0", "-w", "-D_GLIBCXX_USE_CXX11_ABI=1"),
            *(f"-I{folder}/include", str(SOURCE), "-o", str(program)),
            # No symbol of the second library is named: it would be left out.
            *(f"-L{folder}", "-Wl,--no-as-needed"),
            *("-l:libtensorflow_framework.so.2", "-l:libtensorflow_cc.so.2"),
            *("-ldl", f"-Wl,-rpath,{folder}"),
        ],
        check=True,
        timeout=300,
    )
    return program


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    return moved_export("captioning", tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The same scene as PNG and JPEG, another one as JPEG, and a torn PNG."""
    folder = tmp_path_factory.mktemp("pictures")
    splits = APP.data.load_data(APP.Config(builtin_size=10))
    for i, content in enumerate(splits.test.files[:2]):
        (folder / f"{i}.png").write_bytes(content)
        with Image.open(folder / f"{i}.png") as picture:
            picture.save(folder / f"{i}.jpg", quality=95)
    (folder / "torn.png").write_bytes(splits.test.files[0][:100])
    return [folder / name for name in ("0.png", "0.jpg", "1.jpg", "torn.png")]


def serve(program, folder, signature, pictures):
    """Outputs by name as arrays, or the text of TensorFlow's error."""
    done = subprocess.run(
        [program, folder, signature, *(f"image_bytes=@{p}" for p in pictures)],
        cwd=program.parent,
        env={"PATH": os.defpath, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        timeout=120,
    )
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if done.returncode == 3:
        return lines[0]["error"]
    assert done.returncode == 0, done.stderr.decode()
    return {o["name"]: np.array(o["values"]).reshape(o["shape"]) for o in lines}


@pytest.fixture(scope="session")
def served(sm_run, export, pictures):
    """The answer of the plain signature, XLA being off."""
    outputs = serve(sm_run, export, "serving_default", pictures)
    assert isinstance(outputs, dict), outputs
    return outputs


def test_captions_equal_those_of_python(served, export, pictures):
    answers = APP.load(export).predict(pictures)
    assert [a["ok"] for a in answers] == [True, True, True, False]
    assert answers[0]["caption"] != answers[2]["caption"], "the pictures do not matter"
    assert served["caption"].tolist() == [a["caption"] for a in answers]
    assert served["ok"].tolist() == [a["ok"] for a in answers]
    for row, answer in enumerate(answers):
        length = served["length"][row]
        assert served["tokens"][row, :length].tolist() == answer["tokens"]
        for name, value in (("score", None), ("attention", slice(0, length))):
            got = served[name][row] if value is None else served[name][row, value]
            np.testing.assert_allclose(got, answer[name], rtol=1e-3, atol=1e-5)


def test_a_jpeg_is_not_taken_for_its_png(served):
    """One scene: nearly the same score, but the JPEG's own."""
    png, jpeg = served["score"][:2]
    assert png != jpeg
    np.testing.assert_allclose(png, jpeg, atol=1.0)


def test_xla_works_in_python_and_is_refused_where_it_is_off(
    sm_run, served, export, pictures
):
    compiled = tf.saved_model.load(str(export)).signatures["serving_xla"]
    answer = compiled(image_bytes=tf.constant([p.read_bytes() for p in pictures]))
    assert [c.decode() for c in answer["caption"].numpy()] == served["caption"].tolist()
    np.testing.assert_allclose(answer["score"], served["score"], rtol=1e-3, atol=1e-4)

    error = serve(sm_run, export, "serving_xla", pictures)
    assert "XLA compilation disabled" in error


def test_a_wrong_signature_is_an_error(sm_run, export, pictures):
    assert "no signature step" in serve(sm_run, export, "step", pictures)
