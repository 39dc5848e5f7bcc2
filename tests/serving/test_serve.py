"""`saccade serve`: the command it runs, and what it says where there is no server."""

import json
import os
import pathlib
import shlex
import stat
import subprocess
import sys

import pytest

from saccade.apps.core.errors import UserError
from saccade.apps.core.serving import server

README = pathlib.Path(__file__).parents[2] / "saved_models" / "README.md"
FLAGS = [
    "--model_config_file_poll_wait_seconds=5",
    "--allow_version_labels_for_unavailable_models=true",
    "--enable_batching=true",
]


@pytest.fixture
def models(tmp_path):
    """A folder with two models; as for `serve`, they need not load."""
    folder = tmp_path / 'my "models"'
    for name, version in (("captioning", 1), ("char_lm", 3), ("char_lm", 12)):
        (folder / name / str(version)).mkdir(parents=True)
    (folder / "notes").mkdir()
    server.write_server_files(folder, {"char_lm": {"stable": 3}})
    return folder


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts programs on a PATH that has nothing else: each writes down how it was
    called, and ends with a status."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name, status=0, says=""):
        path = folder / name
        path.write_text(
            f"#!{sys.executable}\n"
            "import json, sys\n"
            f"open({str(tmp_path / name)!r}, 'a').write(json.dumps(sys.argv) + '\\n')\n"
            f"print({says!r}, file=sys.stderr)\n"
            f"sys.exit({status})\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    add.calls = lambda name: [
        json.loads(line) for line in (tmp_path / name).read_text().splitlines()
    ]
    return add


def run(*words):
    code = "from saccade.apps.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ)


def test_the_server_on_the_path_is_run_with_the_exports(models, programs):
    program = programs("tensorflow_model_server", status=7)
    programs("docker")
    done = run("--from", models, "--port", 9000, "--rest-port", 9001)
    assert done.returncode == 7, done.stderr  # it became the server
    (called,) = programs.calls("tensorflow_model_server")
    assert called == [
        str(program),
        "--port=9000",
        "--rest_api_port=9001",
        f"--model_config_file={models}/.serve.config",
        *FLAGS,
        f"--batching_parameters_file={models}/batching.config",
    ]
    assert shlex.split(done.stdout) == called
    text = (models / ".serve.config").read_text("utf-8")
    response = dict(server.parse(text))["model_config_list"]
    paths = [dict(fields)["base_path"] for _, fields in response]
    escaped = str(models).replace('"', '\\"')
    assert paths == [f"{escaped}/captioning", f"{escaped}/char_lm"]
    assert 'version_labels { key: "stable" value: 3 }' in text


def test_else_docker_is_run_with_the_folder_mounted(models, programs):
    program = programs("docker")
    done = run("--from", models, "--rest-port", 9001)
    assert done.returncode == 0, done.stderr
    checked, called = programs.calls("docker")
    assert checked[1:] == ["version"]
    assert called == [
        str(program),
        *("run", "--rm"),
        *("-p", "127.0.0.1:8500:8500", "-p", "127.0.0.1:9001:8501"),
        *("-v", f"{models}:/models:ro"),
        server.IMAGE,
        "--model_config_file=/models/models.config",
        *FLAGS,
        "--batching_parameters_file=/models/batching.config",
    ]
    assert shlex.split(done.stdout) == called
    assert not (models / ".serve.config").exists()


def test_a_dry_run_only_prints_the_command(models, programs, capsys):
    programs("docker", status=1, says="no daemon")
    server.serve(models, dry_run=True)
    assert shlex.split(capsys.readouterr().out)[1:3] == ["run", "--rm"]
    with pytest.raises(FileNotFoundError):
        programs.calls("docker")


def test_some_apps_only(models, programs, capsys):
    programs("docker")
    server.serve(models, ["char_lm"], dry_run=True)
    assert "--model_config_file=/models/.serve.config" in capsys.readouterr().out
    text = (models / ".serve.config").read_text("utf-8")
    assert '"/models/char_lm"' in text and "captioning" not in text
    assert "captioning" in (models / "models.config").read_text("utf-8")
    with pytest.raises(UserError, match="no export of 'chr_lm'.*mean 'char_lm'"):
        server.serve(models, ["chr_lm"], dry_run=True)


def test_labels_of_a_version_that_is_gone_are_not_served(models, programs):
    programs("tensorflow_model_server")
    (models / "char_lm/3").rmdir()
    server.serve(models, dry_run=True)
    text = (models / ".serve.config").read_text("utf-8")
    assert "version_labels" not in text and "model_version_policy" not in text


def test_without_a_server_it_says_how_to_get_one(models, programs):
    with pytest.raises(UserError, match="neither.*docker pull tensorflow/serving"):
        server.serve(models)
    programs("docker", status=1, says="Cannot connect to the daemon.")
    with pytest.raises(UserError, match="Cannot connect to the daemon. Start the doc"):
        server.serve(models)
    done = run("--from", models)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_without_exports_it_says_how_to_make_one(tmp_path, programs):
    for folder in (tmp_path / "missing", tmp_path):
        with pytest.raises(UserError, match="holds no export.*saccade export"):
            server.serve(folder)


def test_the_page_prints_the_command_that_is_run(models, programs, capsys):
    """saved_models/README.md has docker's command by hand."""
    programs("docker")
    server.serve(models, dry_run=True)
    command = shlex.split(capsys.readouterr().out)
    flags = command[command.index(server.IMAGE) :]
    page = README.read_text("utf-8")
    (by_hand,) = [
        part for part in page.split("```") if part.strip().startswith("docker run")
    ]
    words = shlex.split(by_hand.replace("\\\n", " "))
    assert words[words.index(server.IMAGE) :] == flags
