"""The client, against a small server that speaks as TF Serving does."""

import importlib.util
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from saccade import apps
from saccade.apps.cli import cli
from saccade.apps.core.errors import UserError
from saccade.apps.core.served import Served
from saccade.apps.core.serving import client as client_module
from saccade.apps.core.serving.client import Client
from saccade.apps.core.settings.fields import request_fields
from saccade.apps.core.tasks.task import example_requests

from . import fake_server
from .exports import untrained_exports

pytestmark = pytest.mark.slow  # Three exports first.

README = pathlib.Path(__file__).parents[2] / "saved_models" / "README.md"
HAS_API = importlib.util.find_spec("tensorflow_serving") is not None
NO_API = "tensorflow-serving-api is not installed (extra: serving)"
DOORS = [
    "rest",
    pytest.param("grpc", marks=pytest.mark.skipif(not HAS_API, reason=NO_API)),
]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """app -> its version folders; char_lm has two, of different weights."""
    return untrained_exports(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def loaded(exports):
    folders = [(name, path) for name, paths in exports.items() for path in paths]
    labels = {("char_lm", "stable"): 1, ("char_lm", "canary"): 2}
    return fake_server.Models(folders, labels)


@pytest.fixture
def models(loaded):
    loaded.faults.clear()
    loaded.requests.clear()
    yield loaded
    assert not loaded.faults, "fewer requests came than were to fail"


@pytest.fixture(params=DOORS)
def door(request, models, monkeypatch):
    """Options of a Client, and of the command line, that reach the server."""
    monkeypatch.setattr(client_module, "LONGEST_PAUSE", 0.02)
    with getattr(fake_server, request.param)(models) as port:
        yield {"host": "127.0.0.1", "port": port, "grpc": request.param == "grpc"}


def prompts(name):
    texts = {"char_lm": ["hel", "lohe"], "word_lm": ["the cat", "the dogs\nthe"]}
    return texts[name]


# Every signature


@pytest.mark.parametrize("name", sorted(apps.REGISTRY))
def test_every_signature_answers_as_the_export_does(door, models, name):
    client = Client(**door)
    version, described = client.describe(name)
    assert version == models.find(name)
    export = models.load(name, version)
    assert described.keys() == export.signatures.keys()
    example = apps.load(name).example()
    for signature, function in export.signatures.items():
        if signature == "serving_xla":  # as serving_default, seconds to compile
            continue
        specs = function.structured_input_signature[1]
        inputs = {
            key: np.asarray(example[key], spec.dtype.as_numpy_dtype)
            if key in example
            else np.full(
                [2, *(n or 3 for n in spec.shape[1:])],
                b"a" if spec.dtype == tf.string else 1,
                spec.dtype.as_numpy_dtype,
            )
            for key, spec in specs.items()
        }
        about = described[signature]
        for key, spec in specs.items():
            assert about.inputs[key].shape == tuple(spec.shape)
            assert about.inputs[key].dtype == spec.dtype.as_numpy_dtype
        expected = function(**{k: tf.constant(v) for k, v in inputs.items()})
        answer = client.predict(name, inputs, signature)
        assert answer.keys() == expected.keys() == about.outputs.keys()
        for key, value in expected.items():
            value = value.numpy()
            assert answer[key].dtype == value.dtype, f"{signature}: {key}"
            assert answer[key].shape == value.shape, f"{signature}: {key}"
            if value.dtype == object:
                assert answer[key].tolist() == value.tolist()
            else:
                np.testing.assert_allclose(answer[key], value, rtol=1e-6)


def test_lists_become_the_types_that_exports_take(door, models):
    inputs = {"text": ["hel", b"lo"], "temperature": [0, 0.5], "length": [4, 5]}
    request = {**inputs, "seed": [0, 1]}
    answer = Client(**door).predict("char_lm", request, "with_options")
    assert answer["length"].tolist() == [4, 5]
    none = {"text": [], "temperature": [], "length": [], "seed": []}
    arrays = {name: client_module._array(value) for name, value in none.items()}
    assert all(len(array) == 0 for array in arrays.values())


def test_bytes_arrive_whole(door):
    """A string that ends in zero bytes and is no UTF-8."""
    text = b"\xff\xfe hel\0\0"
    answer = Client(**door).predict("char_lm", {"text": [text]}, "encode")
    assert answer["length"].tolist() == [1 + 8]  # the start, and the characters


# Apps


@pytest.mark.parametrize("name", sorted(apps.REGISTRY))
def test_an_app_answers_through_a_server_as_its_export(door, exports, name):
    app = apps.load(name)
    if name in ("char_lm", "word_lm"):
        inputs = prompts(name)
    else:
        inputs = example_requests(app.task_for(app.Config()).kinds())
    free = request_fields(app.Options)
    options = {k: v for k, v in {"length": 9, "seed": 4}.items() if k in free}
    answers = Served(app, Client(**door)).predict(inputs, **options)
    expected = app.load(exports[name][-1]).predict(inputs, **options)
    for answer, value in zip(answers, expected, strict=True):
        assert answer.keys() == value.keys()
        for key in value:
            if isinstance(value[key], float | np.ndarray):
                np.testing.assert_allclose(
                    answer[key], value[key], rtol=1e-6, atol=1e-6
                )
            else:
                assert answer[key] == value[key]


def test_what_an_export_has_fixed_is_refused(door):
    served = Served(apps.load("char_lm"), Client(**door))
    with pytest.raises(UserError, match="top_k.*length, temperature, seed"):
        served.predict(["hel"], top_k=3)
    with pytest.raises(UserError, match="beam"):
        Served(apps.load("captioning"), Client(**door)).predict([], beam=3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("char_lm", {"length": 70, "seed": 3}),
        ("char_lm", {"length": 9, "temperature": 0.0}),
        ("word_lm", {"length": 20, "seed": 3}),
    ],
)
def test_a_stream_joined_is_the_answer(door, exports, name, options):
    app = apps.load(name)
    streamed = Served(app, Client(**door))
    export = app.load(exports[name][-1])
    for prompt in prompts(name):
        shown, *parts = streamed.stream(prompt, **options)
        (answer,) = export.predict([prompt], **options)
        assert "".join([shown, *parts]) == streamed.task.show(answer)
        assert len(parts) == answer["length"]
        if name == "char_lm":
            assert all(len(part) == 1 for part in parts)


def test_a_stream_can_set_what_an_export_has_fixed(door, exports):
    app = apps.load("char_lm")
    streamed = Served(app, Client(**door))

    def stream(**options):
        prompt, *parts = streamed.stream("hel", **options)
        assert prompt == "hel"
        return "".join(parts)

    whole = stream(length=60, seed=1)
    stop = whole[20:22]
    assert stream(length=60, seed=1, stop=stop) == whole[: whole.index(stop)]
    never = stream(length=9, seed=1, stop="hhhhhhh")
    assert never == whole[:9], "what was held back must come at the end"
    assert stream(length=9, top_k=1) == stream(length=9, temperature=0.0)
    with pytest.raises(UserError, match="beam"):
        list(streamed.stream("hel", beam=2))


def test_a_stream_needs_a_model_that_steps(door):
    with pytest.raises(UserError, match="captioning answers all at once"):
        list(Served(apps.load("captioning"), Client(**door)).stream("cat.png"))


def test_a_stream_stays_with_the_version_that_began_it(door, models):
    streamed = Served(apps.load("char_lm"), Client(**door), label="stable")
    stream = streamed.stream("hel", length=5)
    next(stream)
    models.labels["char_lm", "stable"] = 2
    try:
        list(stream)
    finally:
        models.labels["char_lm", "stable"] = 1
    assert {version for _, version, _ in models.requests} == {1}


# Versions and labels


def test_versions_and_labels(door, models, exports):
    client = Client(**door)
    inputs = {"text": ["hello"]}
    log_probs = {}
    for version, path in enumerate(exports["char_lm"], 1):
        score = tf.saved_model.load(str(path)).signatures["score"]
        log_probs[version] = score(text=tf.constant(["hello"]))["log_prob"].numpy()
    assert log_probs[1] != log_probs[2]
    for which, version in (
        ({}, 2),
        ({"version": 1}, 1),
        ({"label": "stable"}, 1),
        ({"label": "canary"}, 2),
    ):
        answer = client.predict("char_lm", inputs, "score", **which)
        np.testing.assert_allclose(answer["log_prob"], log_probs[version], rtol=1e-6)
        assert models.requests.pop()[1] == version
        assert client.describe("char_lm", **which)[0] == version


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"version": 7}, "char_lm, version 7.*not found"),
        ({"label": "blue"}, "char_lm, label blue.*blue"),
        ({"version": 1, "label": "stable"}, "version or a label, not both"),
    ],
)
def test_what_is_not_served_is_an_error(door, which, message):
    with pytest.raises(UserError, match=f"(?is){message}"):
        Client(**door).predict("char_lm", {"text": ["a"]}, "score", **which)


@pytest.mark.parametrize(
    ("model", "signature", "inputs"),
    [
        ("nothing", "score", {"text": ["a"]}),
        ("char_lm", "nothing", {"text": ["a"]}),
        ("char_lm", "score", {"nothing": ["a"]}),
        ("char_lm", "score", {}),
        ("char_lm", "score", {"text": ["a"], "more": [1]}),
    ],
)
def test_a_wrong_request_is_an_error_and_not_repeated(
    door, models, model, signature, inputs
):
    client = Client(**door)
    started = time.perf_counter()
    with pytest.raises(UserError, match="char_lm|nothing"):
        client.predict(model, inputs, signature)
    assert time.perf_counter() - started < 5
    assert not models.requests


# Faults


def test_it_asks_again_where_that_may_help(door, models):
    client = Client(**door, retries=3)
    models.faults += ["unavailable", "broken", "unavailable"]
    answer = client.predict("char_lm", {"text": ["hello"]}, "score")
    assert answer["length"].tolist() == [5]
    assert len(models.requests) == 1


def test_it_gives_up_in_the_end(door, models):
    models.faults += ["unavailable"] * 3
    with pytest.raises(UserError, match="asked 3 times: still loading.*saccade serve"):
        Client(**door, retries=2).predict("char_lm", {"text": ["a"]}, "score")
    models.faults += ["broken"]
    with pytest.raises(UserError, match="asked once"):
        Client(**door, retries=0).predict("char_lm", {"text": ["a"]}, "score")


def test_it_waits_longer_each_time(monkeypatch):
    pauses = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    monkeypatch.setattr(
        client_module.random, "uniform", lambda low, high: (low + high) / 2
    )
    with pytest.raises(UserError, match="asked 9 times"):
        Client("127.0.0.1", free_port(), retries=8).describe("char_lm")
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    np.testing.assert_allclose(pauses, expected)


def test_no_answer_in_time_is_an_error_and_not_repeated(door, models):
    client = Client(**door)
    client.predict("char_lm", {"text": ["a"]}, "score")
    client._transport.timeout = 0.3
    models.requests.clear()
    models.faults += [1.5]
    with pytest.raises(UserError, match="within 0.3 s.*--timeout"):
        client.predict("char_lm", {"text": ["a"]}, "score")
    assert len(models.requests) <= 1


def test_a_server_that_starts_late_is_found(models, monkeypatch):
    """Refused connections are tried again: for the time in which a server restarts."""
    port = free_port()
    started = []

    def start(pause):
        if not started:
            server = fake_server.rest(models, port)
            started.append(server)
            server.__enter__()

    monkeypatch.setattr(client_module.time, "sleep", start)
    try:
        version, _ = Client("127.0.0.1", port).describe("char_lm")
    finally:
        started[0].__exit__(None, None, None)
    assert version == 2


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_new_version_with_other_outputs_is_noticed(models, monkeypatch):
    """REST tells no types: the client keeps the description of the signatures."""
    with fake_server.rest(models) as port:
        client = Client("127.0.0.1", port)
        described = client._transport.describe
        old = {
            "score": client_module.Signature(
                {}, {"other": client_module.Tensor("f", ())}
            )
        }
        descriptions = [(1, old)]
        client._transport.described.cache_clear()
        client._transport.described = client_module.functools.cache(
            lambda model: descriptions.pop() if descriptions else described(model)
        )
        answer = client.predict("char_lm", {"text": ["hello"]}, "score")
    assert answer["length"].tolist() == [5]


def test_something_else_on_the_port_is_an_error(tmp_path):
    class Page(fake_server.Door):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

    server = fake_server.http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = fake_server.threading.Thread(target=server.handle_request)
    with server:
        thread.start()
        with pytest.raises(UserError, match="'hello'.*port of REST"):
            Client("127.0.0.1", server.server_port, retries=0).describe("char_lm")
        thread.join()


@pytest.mark.parametrize(
    ("grpc", "package"), [(False, "requests"), (True, "tensorflow_serving.apis")]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, grpc, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r'pip install "saccade\[serving\]"'):
        Client(grpc=grpc)


def test_the_client_module_imports_no_optional_package():
    code = (
        "import sys\n"
        "from saccade.apps.core.serving import client\n"
        "assert not {'requests', 'grpc', 'tensorflow'} & set(sys.modules)\n"
        "own = {m for m in sys.modules if m.startswith('saccade.')}\n"
        "assert not {m for m in own if 'layers' in m or 'tasks' in m}, own"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The command line


@pytest.fixture
def send(door, capsys):
    """saccade client; returns the exit status and what it printed."""

    def run(app, *words):
        where = ["--host", door["host"], "--port", str(door["port"])]
        where += ["--grpc"] if door["grpc"] else ["--rest"]
        try:
            cli(["client", app, *words, *where], standalone_mode=False)
            status = 0
        except SystemExit as ended:
            status = ended.code
        except Exception as ended:
            if type(ended).__name__ != "Exit":
                raise
            status = ended.exit_code
        return status, capsys.readouterr()

    return run


def test_the_command_line_captions(send, exports, tmp_path):
    png = apps.load("captioning").example()["image_bytes"][0]
    (tmp_path / "scene.png").write_bytes(png)
    (expected,) = apps.load("captioning").load(exports["captioning"][0]).predict([png])
    status, printed = send("captioning", str(tmp_path / "*.png"))
    assert not status
    assert printed.out.startswith(f"{tmp_path}/scene.png: {expected['caption']}  (")
    status, printed = send("captioning", str(tmp_path / "scene.png"), "--json")
    answer = json.loads(printed.out)
    assert answer["caption"] == expected["caption"]
    assert len(answer["attention"]) == len(expected["attention"])
    with pytest.raises(UserError, match="captioning answers all at once.*--stream"):
        send("captioning", str(tmp_path / "scene.png"), "--stream")


def test_the_command_line_continues_texts(send, exports):
    export = apps.load("char_lm").load(exports["char_lm"][0])
    request = ["--prompt", "hel", "--length", "12", "--seed", "2", "--label", "stable"]
    (answer,) = export.predict(["hel"], length=12, seed=2)
    for more in ([], ["--stream"]):
        _, printed = send("char_lm", *request, *more)
        assert printed.out == f"hel{answer['continuation']}\n"
    _, printed = send("char_lm", *request, "--json")
    assert json.loads(printed.out) == answer
    with pytest.raises(UserError, match="--stream or --json"):
        send("char_lm", *request, "--json", "--stream")


# saved_models/README.md


def examples(language):
    """The blocks of the page in this language, beneath their headings."""
    parts = re.split(r"^#+ (.*)$", README.read_text("utf-8"), flags=re.MULTILINE)
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        for block in re.findall(rf"```{language}\n(.*?)```", body, re.DOTALL):
            yield heading, block


@pytest.fixture
def at_home(models, tmp_path):
    """A folder with a picture, and the server's ports in place of the usual ones."""
    png = apps.load("captioning").example()["image_bytes"][0]
    (tmp_path / "cat.png").write_bytes(png)
    with fake_server.rest(models) as port:
        yield (
            tmp_path,
            lambda text: text.replace(":8501", f":{port}").replace(
                'Client("localhost"', f'Client("localhost", port={port}'
            ),
        )


def test_the_curl_examples_work_as_printed(at_home, models):
    if not shutil.which("curl"):
        pytest.skip("no curl here (Debian: apt install curl)")
    folder, here = at_home
    models.labels["captioning", "stable"] = 1
    blocks = [block for _, block in examples("sh") if "curl" in block]
    assert len(blocks) >= 3
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euc", here(block)], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        # Several requests print several objects, without a line break between.
        answers = json.loads(f"[{done.stdout.replace('}{', '},{')}]")
        assert answers, block
        for answer in answers:
            assert "error" not in answer, f"{block}\n{answer}"
    assert {name for name, _, _ in models.requests} == set(apps.REGISTRY)


@pytest.mark.parametrize("name", sorted(apps.REGISTRY))
def test_the_python_examples_work_as_printed(
    at_home, models, name, monkeypatch, capsys
):
    folder, here = at_home
    monkeypatch.chdir(folder)
    blocks = [block for _, block in examples("python") if f'"{name}"' in block]
    assert blocks, f"the page has no Python client of {name}"
    for block in blocks:
        before = set(folder.iterdir())
        exec(compile(here(block), str(README), "exec"), {})
        # An answer is printed, or, if it is a picture, written to a file.
        written = set(folder.iterdir()) - before
        assert capsys.readouterr().out.strip() or written
        for file in written:
            assert file.stat().st_size
    assert {model for model, _, _ in models.requests} == {name}
