"""What TF Serving reads beside the models, and `saccade serve`, which starts it.

An export writes two files into the folder of models:

    models.config     every app in the folder, where docker mounts it, with its labels
    batching.config   how requests that come at the same time are put together

TensorFlow is not imported here.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from ..errors import UserError, nearest
from ..files.whole import write_text

MODELS, BATCHING = "models.config", "batching.config"
# Written by `saccade serve`, where the server sees other paths or other models.
OWN_MODELS = ".serve.config"
DOCKER_FOLDER = "/models"
IMAGE = "tensorflow/serving:2.21.0"

# What a server puts together comes in batches of these sizes, filled up where need be:
# so many shapes are warmed up, and XLA compiles for so many.
BATCH_SIZES = (1, 2, 4, 8)
# Rows of one request at most; what is more than a batch is split.
LONGEST_REQUEST = 64
BATCHING_TEXT = "\n".join(
    [
        f"max_batch_size {{ value: {LONGEST_REQUEST} }}",
        "enable_large_batch_splitting { value: true }",
        f"max_execution_batch_size {{ value: {max(BATCH_SIZES)} }}",
        "batch_timeout_micros { value: 2000 }",
        "max_enqueued_batches { value: 100 }",
        *(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES),
        "",
    ]
)

# What can stand in an address: /v1/models/NAME/labels/NAME
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def versions(base):
    """The versions in a model's folder by TF Serving's rule, ascending.

    A version is what has a decimal name, below 2^63; the greatest is served.
    """
    names = [path.name for path in base.iterdir()] if base.is_dir() else []
    numbers = {int(name) for name in names if name.isascii() and name.isdecimal()}
    return sorted(number for number in numbers if number < 2**63)


def exported_apps(folder):
    """The names of the models in a folder: subfolders with a version, sorted."""
    folder = pathlib.Path(folder)
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p.name for p in paths if _NAME.fullmatch(p.name) and versions(p)]


def check_labels(labels):
    """An error for what is no name of a label."""
    for label in labels:
        if not _NAME.fullmatch(label):
            raise UserError(
                "--labels expected names of letters, digits and _.- with commas "
                f"between, as in stable,canary; received {label!r}."
            )


def read_labels(folder):
    """app -> label -> version, as models.config says, which an operator may edit.

    Raises:
        UserError: the file is not in the text format of protocol buffers.
    """
    path = pathlib.Path(folder) / MODELS
    if not path.exists():
        return {}
    try:
        labels = {}
        for config in _all(parse(path.read_text("utf-8")), "model_config_list"):
            for model in _all(config, "config"):
                (name,) = _all(model, "name")
                entries = [dict(entry) for entry in _all(model, "version_labels")]
                labels[name] = {e["key"]: int(e["value"]) for e in entries}
        return labels
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no configuration of models that TF Serving reads ({error}). "
            "Mend it, or delete it: the next export writes it anew, without the "
            "labels of versions."
        ) from None


def write_server_files(folder, labels, kept=None):
    """Write both files anew, for all models in the folder.

    Args:
        labels: app -> label -> version; those of versions that are gone are dropped.
        kept: app -> further versions that must stay loaded.
    """
    folder = pathlib.Path(folder)
    text = models_config(folder, exported_apps(folder), DOCKER_FOLDER, labels, kept)
    write_text(folder / BATCHING, BATCHING_TEXT)
    write_text(folder / MODELS, text)


def models_config(folder, apps, root, labels, kept=None):
    """A ModelServerConfig in text format.

    Args:
        folder: of the models. apps: their names. root: where the server sees `folder`.
        labels, kept: as in `write_server_files`.

    A model without labels is served in its greatest version, whatever comes. One with
    labels is served in the labelled versions and the greatest, by number: TF Serving
    refuses a label of a version that is not loaded.
    """
    blocks = []
    for app in apps:
        there = versions(folder / app)
        labelled = {k: v for k, v in labels.get(app, {}).items() if v in there}
        lines = [
            f'name: "{app}"',
            f"base_path: {json.dumps(f'{root}/{app}', ensure_ascii=False)}",
            'model_platform: "tensorflow"',
        ]
        if labelled:
            wanted = {there[-1], *labelled.values(), *(kept or {}).get(app, ())}
            numbers = " ".join(f"versions: {v}" for v in there if v in wanted)
            lines.append(f"model_version_policy {{ specific {{ {numbers} }} }}")
            lines += [
                f'version_labels {{ key: "{label}" value: {version} }}'
                for label, version in sorted(labelled.items())
            ]
        inside = "".join(f"    {line}\n" for line in lines)
        blocks.append(f"  config {{\n{inside}  }}\n")
    return f"model_config_list {{\n{''.join(blocks)}}}\n"


_TOKEN = re.compile(r"""#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{}]|[^\s:,;{}]+""")


def parse(text):
    """The text format of protocol buffers as a list of (name, value).

    A value is a str, or for a message again such a list. The package with TF Serving's
    own messages is an optional extra; to keep labels, this much is enough.
    """
    tokens = [token for token in _TOKEN.findall(text) if not token.startswith("#")]
    fields, rest = _message(tokens)
    if rest:
        raise ValueError("a } without its {")
    return fields


def _message(tokens):
    """The fields up to the closing brace or the end, and the tokens from there on."""
    fields = []
    while tokens and tokens[0] != "}":
        if len(tokens) < 2 or tokens[1] == "}":
            raise ValueError(f"{tokens[0]} has no value")
        name, value, *tokens = tokens
        if value == "{":
            value, tokens = _message(tokens)
            if not tokens:
                raise ValueError(f"{name} has no closing brace")
            tokens = tokens[1:]
        else:
            value = value.strip("'\"")
        fields.append((name, value))
    return fields, tokens


def _all(fields, name):
    return [value for key, value in fields if key == name]


# saccade serve


def serve(folder, apps=(), port=8500, rest_port=8501, dry_run=False):
    """Become TensorFlow's server for the models of a folder: it replaces this process.

    Args:
        folder: where exports are. apps: names of those to serve; none: all.
        port: of gRPC. rest_port: of REST.
        dry_run: only print the command.

    Raises:
        UserError: nothing is exported; there is neither tensorflow_model_server nor a
            docker that works.
    """
    folder = pathlib.Path(folder).resolve()
    there = exported_apps(folder)
    if not there:
        raise UserError(
            f"{folder} holds no export. Write one first, as in: saccade export "
            f"captioning --to {folder}"
        )
    for app in apps:
        if app not in there:
            raise UserError(
                f"{folder} holds no export of {app!r}; it has {', '.join(there)}."
                f"{nearest(app, there)}"
            )
    program = shutil.which("tensorflow_model_server")
    docker = None if program else find_docker(must_work=not dry_run)
    root = str(folder) if program else DOCKER_FOLDER
    flags = server_flags(folder, sorted(set(apps)) or there, root)
    if program:
        ports = [f"--port={port}", f"--rest_api_port={rest_port}"]
        command = [program, *ports, *flags]
    else:
        # Only this machine reaches it: the server asks nobody for a password.
        ports = [f"127.0.0.1:{port}:8500", f"127.0.0.1:{rest_port}:8501"]
        ports = ["-p", ports[0], "-p", ports[1]]
        mount = ["-v", f"{folder}:{DOCKER_FOLDER}:ro"]
        command = [docker, "run", "--rm", *ports, *mount, IMAGE, *flags]
    print(shlex.join(command), flush=True)
    if not dry_run:
        os.execv(command[0], command)


def server_flags(folder, apps, root):
    """What either server is told; `root` is where it sees `folder`."""
    config = MODELS
    as_exported = root == DOCKER_FOLDER and apps == exported_apps(folder)
    if not as_exported or not (folder / MODELS).exists():
        config = OWN_MODELS
        text = models_config(folder, apps, root, read_labels(folder))
        (folder / OWN_MODELS).write_text(text, "utf-8")
    if not (folder / BATCHING).exists():
        (folder / BATCHING).write_text(BATCHING_TEXT, "utf-8")
    return [
        f"--model_config_file={root}/{config}",
        "--model_config_file_poll_wait_seconds=5",
        # Else a server does not start whose file has labels.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={root}/{BATCHING}",
    ]


def find_docker(must_work):
    """The path of docker; asked whether its daemon answers, if it must."""
    program = shutil.which("docker")
    if not program:
        raise UserError(
            "Found neither tensorflow_model_server nor docker. Install docker "
            f"(https://docs.docker.com/engine/install) and run: docker pull {IMAGE}. "
            "Or, on Ubuntu and Debian, install the package tensorflow-model-server: "
            "https://www.tensorflow.org/tfx/serving/setup"
        )
    if must_work:
        finished = subprocess.run([program, "version"], capture_output=True, text=True)
        if finished.returncode:
            raise UserError(
                f"Found no tensorflow_model_server, and {program} does not work: "
                f"{finished.stderr.strip()} Start the docker daemon, or install the "
                "package tensorflow-model-server: "
                "https://www.tensorflow.org/tfx/serving/setup"
            )
    return program
