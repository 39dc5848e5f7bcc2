"""The export through the loader of TF Serving: C++, no Python, XLA switched off."""

import functools
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from saccade.apps.captioning import APP

from ..apps.answers import tensor_of
from ..groups import each_app
from ..machine import seconds

pytestmark = [pytest.mark.serving, pytest.mark.processes]

BYTES = "latin-1"  # a character per byte: an answer may be a picture
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
        timeout=seconds(300),
    )
    return program


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The same scene as PNG and JPEG, another one as JPEG, and a torn PNG."""
    folder = tmp_path_factory.mktemp("pictures")
    splits = APP.task_for(APP.Config(builtin_size=10)).read()
    for i, content in enumerate(splits.test["image"][:2]):
        (folder / f"{i}.png").write_bytes(content)
        with Image.open(folder / f"{i}.png") as picture:
            picture.save(folder / f"{i}.jpg", quality=95)
    (folder / "torn.png").write_bytes(splits.test["image"][0][:100])
    return tuple(folder / name for name in ("0.png", "0.jpg", "1.jpg", "torn.png"))


def serve(program, folder, requests, scratch):
    """Outputs by name as arrays, for each request; for one that fails the text of
    TensorFlow's error, and then no more.

    Args:
        requests: list of signature, and input name -> rows: bytes, or arrays of
            them, numbers or arrays.
        scratch: a folder for the bytes, which may be too many for a command line.
    """
    words = []
    for signature, request in requests:
        words += ["--", signature]
        for name, rows in request.items():
            words += [] if len(rows) else [name]
            for row in rows:
                if isinstance(row, np.ndarray) and row.dtype.kind == "O":
                    row = b"\x1e".join(row)
                if isinstance(row, bytes):
                    path = scratch / str(len(words))
                    path.write_bytes(row)
                    words.append(f"{name}=@{path}")
                else:
                    numbers = np.ravel(row).astype(float)
                    words.append(f"{name}=" + " ".join(map(repr, numbers.tolist())))
    done = subprocess.run(
        [program, folder, *words[1:]],
        cwd=program.parent,
        env={"PATH": os.defpath, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        timeout=seconds(120),
    )
    answers, outputs = [], {}
    for line in done.stdout.splitlines():
        output = json.loads(line.decode(BYTES)) if line else {}
        if "error" in output:
            assert done.returncode == 3
            return [*answers, output["error"]]
        if output:
            outputs[output["name"]] = np.array(output["values"]).reshape(
                output["shape"]
            )
        else:
            answers.append(outputs)
            outputs = {}
    assert done.returncode == 0, done.stderr.decode()
    return answers


# Every app


def requests(trained):
    """signature -> a request of three rows."""
    draw = np.random.default_rng(0)
    # What no request of `serving_default` holds: drawn, by the type it has.
    drawn = {
        tf.int32: lambda shape: draw.integers(1, 9, shape, np.int32),
        tf.bool: lambda shape: draw.integers(0, 2, shape) > 0,
        tf.float32: lambda shape: draw.standard_normal(shape, np.float32),
    }
    return {
        signature: {
            given: trained.good[given][:3]
            if given in trained.good
            else drawn[spec.dtype]([3, *(size or 4 for size in spec.shape[1:])])
            for given, spec in function.structured_input_signature[1].items()
        }
        for signature, function in trained.signatures.items()
        if signature != "serving_xla"
    }


def test_every_signature_answers_as_in_python(sm_run, trained, tmp_path):
    full = requests(trained)
    assert full.keys() == trained.expected.outputs.keys() - {"serving_xla"}
    requested = [
        (signature, {given: values[:rows] for given, values in request.items()})
        for signature, request in full.items()
        for rows in (3, 1, 0)
    ]
    answers = serve(sm_run, trained.export, requested, tmp_path)
    for (signature, request), got in zip(requested, answers, strict=True):
        function = trained.signatures[signature]
        specs = function.structured_input_signature[1]
        tensors = {
            given: tensor_of(values, specs[given]) for given, values in request.items()
        }
        expected = function(**tensors)
        assert isinstance(got, dict), f"{signature}: {got}"
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            output = f"{signature}, {len(got[key])} rows: {key}"
            assert got[key].shape == tuple(value.shape), output
            if value.dtype == tf.string:
                texts = [text.decode(BYTES) for text in value.numpy().ravel()]
                assert got[key].ravel().tolist() == texts, output
            else:
                np.testing.assert_allclose(
                    got[key], value, rtol=1e-3, atol=1e-5, err_msg=output
                )


# Captioning


@functools.cache
def send(program, export, pictures):
    """The answer of the plain signature, XLA being off, and the error of the other."""
    posted = {"image_bytes": [p.read_bytes() for p in pictures]}
    requested = [("serving_default", posted), ("serving_xla", posted)]
    with tempfile.TemporaryDirectory() as scratch:
        outputs, error = serve(program, export, requested, pathlib.Path(scratch))
    assert isinstance(outputs, dict), outputs
    return outputs, error


@pytest.fixture
def served(sm_run, export, pictures):
    return send(sm_run, export, pictures)[0]


@each_app("captioning")
def test_captions_equal_those_of_python(served, trained, pictures):
    answers = trained.loaded_export.predict(pictures)
    assert [a["ok"] for a in answers] == [True, True, True, False]
    assert answers[0]["caption"] != answers[2]["caption"], "the pictures do not matter"
    assert served["caption"].tolist() == [a["caption"] for a in answers]
    assert served["ok"].tolist() == [a["ok"] for a in answers]
    for row, answer in enumerate(answers):
        length = served["length"][row]
        assert served["tokens"][row, :length].tolist() == answer["tokens"].tolist()
        for name, value in (("score", None), ("attention", slice(0, length))):
            got = served[name][row] if value is None else served[name][row, value]
            np.testing.assert_allclose(got, answer[name], rtol=1e-3, atol=1e-5)


@each_app("captioning")
def test_a_jpeg_is_not_taken_for_its_png(served):
    """One scene: nearly the same score, but the JPEG's own."""
    png, jpeg = served["score"][:2]
    assert png != jpeg
    np.testing.assert_allclose(png, jpeg, atol=1.0)


@each_app("captioning")
@pytest.mark.slow
def test_xla_works_in_python(served, signatures, pictures):
    contents = tf.constant([p.read_bytes() for p in pictures])
    answer = signatures["serving_xla"](image_bytes=contents)
    assert [c.decode() for c in answer["caption"].numpy()] == served["caption"].tolist()
    np.testing.assert_allclose(answer["score"], served["score"], rtol=1e-3, atol=1e-4)


@each_app("captioning")
def test_xla_is_refused_where_it_is_off(sm_run, export, pictures):
    assert "XLA compilation disabled" in send(sm_run, export, pictures)[1]


@each_app("captioning")
def test_a_wrong_signature_is_an_error(sm_run, export, pictures, tmp_path):
    posted = {"image_bytes": [pictures[0].read_bytes()]}
    (error,) = serve(sm_run, export, [("step", posted)], tmp_path)
    assert "no signature step" in error
