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


def serve(program, folder, signature, pictures, **environment):
    """Outputs by name as arrays, or the text of TensorFlow's error."""
    done = subprocess.run(
        [program, folder, signature, *(f"image_bytes=@{p}" for p in pictures)],
        cwd=program.parent,
        env={"PATH": os.defpath, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        timeout=120,
    )
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if done.returncode == 3:
        return lines[0]["error"]
    assert done.returncode == 0, done.stderr.decode()
    return {o["name"]: np.array(o["values"]).reshape(o["shape"]) for o in lines}


def test_captions_equal_those_of_python(sm_run, export, pictures):
    outputs = serve(sm_run, export, "serving_default", pictures)
    answers = APP.load(export).predict(pictures)
    assert answers[0]["ok"] and answers[1]["ok"] and not answers[3]["ok"]
    assert answers[0]["caption"] != answers[2]["caption"], "no test of the pictures"
    assert outputs["caption"].tolist() == [a["caption"] for a in answers]
    assert outputs["ok"].tolist() == [True, True, True, False]
    for row, answer in enumerate(answers):
        length = outputs["length"][row]
        assert outputs["tokens"][row, :length].tolist() == answer["tokens"]
        np.testing.assert_allclose(
            outputs["score"][row], answer["score"], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            outputs["attention"][row, :length],
            answer["attention"],
            rtol=1e-3,
            atol=1e-5,
        )


def test_a_png_and_a_jpeg_of_one_scene_read_alike(sm_run, export, pictures):
    one = serve(sm_run, export, "serving_default", pictures[:1])
    two = serve(sm_run, export, "serving_default", pictures[1:2])
    # The JPEG lost a little; the score shows that it was read, the rest is the same.
    np.testing.assert_allclose(one["score"], two["score"], atol=1.0)
    assert one["score"] != two["score"]


def test_xla_works_in_python_and_says_what_it_needs_in_tf_serving(
    sm_run, export, pictures
):
    compiled = tf.saved_model.load(str(export)).signatures["serving_xla"]
    answer = compiled(image_bytes=tf.constant([p.read_bytes() for p in pictures]))
    plain = serve(sm_run, export, "serving_default", pictures)
    assert [c.decode() for c in answer["caption"].numpy()] == plain["caption"].tolist()
    np.testing.assert_allclose(answer["score"], plain["score"], rtol=1e-3, atol=1e-4)

    error = serve(sm_run, export, "serving_xla", pictures)
    assert "XLA compilation disabled" in error
    # The same process with XLA left on, as with --xla_cpu_compilation_enabled.
    allowed = serve(sm_run, export, "serving_xla", pictures, SM_XLA="1")
    assert allowed["caption"].tolist() == plain["caption"].tolist()


def test_a_wrong_signature_is_an_error(sm_run, export, pictures):
    assert "no signature step" in serve(sm_run, export, "step", pictures)
