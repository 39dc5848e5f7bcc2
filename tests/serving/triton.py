"""Triton with our exports: a real server, in an environment of its own.

No package of PyPI holds TF Serving's program; one holds NVIDIA's Triton. Its Python
backend loads a SavedModel with TensorFlow, in a process that has none of our code:

    python3.11 -m venv triton
    triton/bin/pip install tensorflow==2.21.0 nvidia-pytriton==0.7.0
    export SACCADE_TRITON=$PWD/triton

That environment cannot be the project's: Triton's Python backend fails with numpy 2.
"""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import typing

import numpy as np
import requests

from saccade.apps.core.serving.server import BATCH_SIZES

HERE = pathlib.Path(__file__).parent
VARIABLE = "SACCADE_TRITON"
HOW_TO = (
    f"{VARIABLE} is not set: no environment with Triton here. Make one: "
    "python3.11 -m venv triton && triton/bin/pip install tensorflow==2.21.0 "
    f"nvidia-pytriton==0.7.0 && export {VARIABLE}=$PWD/triton"
)
START = 120  # seconds for loading a model, at most
TYPES = {"string": "STRING", "float32": "FP32", "int32": "INT32", "bool": "BOOL"}


class Environment(typing.NamedTuple):
    """A virtual environment with Triton and TensorFlow."""

    python: pathlib.Path
    packages: pathlib.Path  # site-packages
    library: pathlib.Path  # where its libpython is
    version: str  # of Python: 3.11

    @classmethod
    def at(cls, folder):
        python = pathlib.Path(folder).absolute() / "bin" / "python"
        code = (
            "import sysconfig as s; print(s.get_path('purelib'), "
            "s.get_config_var('LIBDIR'), s.get_python_version(), sep='\\n')"
        )
        response = subprocess.run(
            [python, "-c", code], check=True, capture_output=True, text=True
        )
        packages, library, version = response.stdout.splitlines()
        return cls(python, pathlib.Path(packages), pathlib.Path(library), version)

    def versions(self):
        """Of what answers, by package."""
        names = ("nvidia-pytriton", "tensorflow", "numpy")
        code = (
            "import importlib.metadata as m, json, sys; "
            "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
        )
        response = subprocess.run(
            [self.python, "-c", code, *names], check=True, capture_output=True
        )
        return json.loads(response.stdout)


# The folder of models


def add_model(repository, export, batching):
    """Make a model of Triton, named as the app; it has no version yet.

    Args:
        repository: Path, the folder of models.
        export: Path of a version folder, whose card says what its signatures take; the
            model is the one that takes all that a request may hold.
        batching: whether requests that come at the same time are run as one batch.
    """
    card = json.loads((export / "model_card.json").read_text("utf-8"))
    signatures = card["signatures"]
    signature = "with_options" if "with_options" in signatures else "serving_default"
    about = signatures[signature]
    lines = [
        'backend: "python"',
        f"max_batch_size: {max(BATCH_SIZES)}",
        "instance_group { kind: KIND_CPU count: 1 }",
        "version_policy { latest { num_versions: 1 } }",
    ]
    if batching:  # As long as in batching.config of TF Serving.
        lines.append("dynamic_batching { max_queue_delay_microseconds: 2000 }")
    for side in ("inputs", "outputs"):
        lines += [described(side[:-1], *item) for item in about[side].items()]
    named = f'key: "signature" value {{ string_value: "{signature}" }}'
    lines.append(f"parameters {{ {named} }}")
    folder = repository / card["app"]
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text("\n".join([*lines, ""]), "utf-8")
    return folder


def described(side, name, spec):
    """An input or output of config.pbtxt, from the card's "float32[None, 7]"."""
    dtype, sizes = spec.removesuffix("]").split("[")
    _, *rest = [-1 if size == "None" else int(size) for size in sizes.split(", ")]
    # What has only the batch's dimension has one more of size 1 for clients.
    dims = f"dims: {rest}" if rest else "dims: [1] reshape { shape: [] }"
    return f'{side} {{ name: "{name}" data_type: TYPE_{TYPES[dtype]} {dims} }}'


def add_version(folder, export, version):
    """Put an export into a model's folder as a version, complete when it appears."""
    temporary = pathlib.Path(tempfile.mkdtemp(dir=folder.parent.parent))
    shutil.copytree(export, temporary / "saved_model")
    shutil.copy(HERE / "triton_model.py", temporary / "model.py")
    temporary.rename(folder / str(version))


# The server


class Server(typing.NamedTuple):
    rest: str  # HOST:PORT
    grpc: str

    def statistics(self, model):
        """How many rows the one version of a model answered, in how many batches."""
        url = f"http://{self.rest}/v2/models/{model}/stats"
        (response,) = requests.get(url, timeout=10).json()["model_stats"]
        return response["inference_count"], response["execution_count"]

    def load_newest(self, model):
        """Let a model's newest version take over; wait until it has."""
        url = f"http://{self.rest}/v2/repository/models/{model}/load"
        requests.post(url, timeout=START).raise_for_status()

    def ready(self, model, version):
        """Whether a version of a model answers."""
        url = f"http://{self.rest}/v2/models/{model}/versions/{version}/ready"
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=10).ok
        return False


@contextlib.contextmanager
def serve(repository, environment):
    """Triton with the models in a folder.

    Yields:
        a `Server`, when all models are loaded.
    """
    scratch = pathlib.Path(tempfile.mkdtemp())
    log = scratch / "log"
    rest, grpc = (f"127.0.0.1:{port}" for port in free_ports(2))
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command(repository, environment, scratch, rest, grpc),
            env={
                **os.environ,
                # By these its Python backend finds the environment's Python.
                "PATH": f"{environment.python.parent}:{os.environ['PATH']}",
                "LD_LIBRARY_PATH": f"{environment.library}:{scratch / 'lib'}",
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(rest, grpc)
    try:
        for path in repository.glob("*/[0-9]*"):
            wait_until_ready(server, path.parent.name, path.name, process, log)
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(40)
        with contextlib.suppress(ProcessLookupError):  # and those that it started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(scratch)


def command(repository, environment, scratch, rest, grpc):
    """The server's command line; in `scratch` a folder of backends as it wants one."""
    package = environment.packages / "pytriton" / "tritonserver"
    links = {
        "backends/python": [
            *(package / "backends/python").glob("*triton_python*"),
            package
            / "python_backend_stubs"
            / environment.version
            / "triton_python_backend_stub",
        ],
        # The backend looks for it beside itself, where a link has it not.
        "lib": (environment.packages / "nvidia_pytriton.libs").glob("libcudart*"),
    }
    for name, files in links.items():
        (scratch / name).mkdir(parents=True)
        for file in files:
            (scratch / name / file.name).symlink_to(file)
    ports = zip(("http", "grpc"), (rest, grpc), strict=True)
    return [
        package / "bin" / "tritonserver",
        f"--model-repository={repository}",
        f"--backend-directory={scratch / 'backends'}",
        # Where it looks by itself, it takes a new __pycache__ for a changed model.
        "--model-control-mode=explicit",
        "--load-model=*",
        *(
            f"--{door}-{part}"
            for door, address in ports
            for part in (
                f"address={address.split(':')[0]}",
                f"port={address.split(':')[1]}",
            )
        ),
        "--allow-metrics=false",
        "--exit-timeout-secs=10",
        "--disable-auto-complete-config",
    ]


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until_ready(server, model, version, process, log):
    """An error with the end of the log if that does not come."""
    end = time.monotonic() + START
    while not server.ready(model, version):
        if process.poll() is not None or time.monotonic() > end:
            text = log.read_text("utf-8", "replace")[-5000:]
            raise RuntimeError(
                f"Triton did not load {model}, version {version}, in {START} s:\n{text}"
            )
        time.sleep(0.1)


# Clients


@contextlib.contextmanager
def asking(environment, server, door, model, requested, clients=1, seconds=0):
    """Run triton_client.py. The block begins when the first answer has come.

    Args:
        door: "rest" or "grpc".
        asked: list of requests, input name -> rows: bytes, floats or ints.
        clients: how many ask at the same time.
        seconds: how long; 0: every request once; None: until the report is wanted.

    Yields:
        a function that waits for the end and returns the program's report, a dict.
    """
    task = {
        "door": door,
        "address": getattr(server, door),
        "model": model,
        "requests": [
            {name: for_json(rows) for name, rows in request.items()}
            for request in requested
        ],
        "clients": clients,
        "seconds": seconds,
    }
    with subprocess.Popen(
        [environment.python, HERE / "triton_client.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def report():
            process.stdin.close()
            output = process.stdout.read()
            if process.wait():
                raise RuntimeError("triton_client.py failed: see above")
            return json.loads(output)

        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            process.stdout.readline()
            yield report
        finally:
            process.kill()


def ask_all(*arguments, **options):
    """As `asking`, from its begin to its end: the report."""
    with asking(*arguments, **options) as report:
        return report()


def summary(report):
    """Requests a second, and percentiles of the latency in ms."""
    latencies = report["latencies"]
    p50, p99 = np.percentile(latencies, [50, 99]).tolist()
    per_second = len(latencies) / report["seconds"]
    return {
        "requests": len(latencies),
        "requests_per_second": per_second,
        "p50_ms": p50,
        "p99_ms": p99,
        "slowest_ms": max(latencies),
    }


def for_json(rows):
    first = rows[0]
    if isinstance(first, bytes):
        texts = [base64.b64encode(row).decode() for row in rows]
        return {"type": "BYTES", "rows": texts}
    return {"type": "FP32" if isinstance(first, float) else "INT32", "rows": rows}
