"""What is installed, what importing costs, and what the README promises."""

import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

from saccade.apps.cli import cli

from .machine import seconds

ROOT = pathlib.Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from saccade.apps.cli import main; main()"]


def run(arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build in place leaves files that later builds
    would take in, and that could hide one that setup.cfg has forgotten."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("layers", "apps"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    built = run([*command, "--outdir", str(copy / "dist"), str(copy)])
    assert built.returncode == 0, built.stderr
    (wheel,) = (copy / "dist").glob("*.whl")
    return wheel


def test_the_wheel_holds_every_file_of_the_tree_and_nothing_else(wheel):
    inside = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in inside if ".dist-info/" not in name}
    tree = {
        f"saccade/{path.relative_to(ROOT)}"
        for folder in ("layers", "apps")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == tree
    assert {"saccade/layers/py.typed", "saccade/apps/py.typed"} <= packed
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_the_wheel_works_where_the_repository_is_not(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys, saccade.layers, saccade.apps.cli\n"
        "for module in (saccade.layers, saccade.apps, saccade.apps.cli):\n"
        "    assert module.__file__.startswith(sys.argv[1]), module.__file__\n"
    )
    # -S: without site, whose .pth files would mount the editable install as well.
    libraries = [
        str(tmp_path),
        *{sysconfig.get_path("purelib"), sysconfig.get_path("platlib")},
    ]
    imported = run(
        [sys.executable, "-S", "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(libraries)},
        cwd=tmp_path,
    )
    assert imported.returncode == 0, imported.stderr


@pytest.mark.parametrize("package", ["layers", "apps"])
def test_the_folders_cannot_be_imported_by_their_own_names(package):
    refused = run([sys.executable, "-c", f"import {package}"], cwd=ROOT)
    assert refused.returncode == 1
    assert f"ImportError: import saccade.{package}" in refused.stderr


@pytest.mark.parametrize("package", ["layers", "apps"])
def test_editors_find_the_packages_through_links(package):
    link = ROOT / ".typing" / "saccade" / package
    assert link.is_symlink()
    assert link.resolve() == ROOT / package


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["--version"]])
def test_the_command_line_answers_at_once(arguments):
    def processor_time():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        answered = run([*COMMAND, *arguments])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert answered.returncode == 0, answered.stderr
        # Processor time: a busy machine does not make our code slower.
        return sum(
            getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime")
        )

    assert min(processor_time() for _ in range(3)) < seconds(0.5)


def test_listing_the_apps_does_not_import_tensorflow():
    code = (
        "import sys; from saccade.apps.cli import cli\n"
        "cli(['list'], standalone_mode=False)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    assert run([sys.executable, "-c", code]).returncode == 0


def test_settings_files_and_the_servers_files_need_no_tensorflow(tmp_path):
    code = (
        "import sys\n"
        "from saccade.apps.core.settings import command_line, fields, json_text\n"
        "from saccade.apps.core.files import locks, scratch, whole\n"
        "from saccade.apps.core.serving import server\n"
        "server.write_server_files(sys.argv[1], {})\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = run([sys.executable, "-c", code, tmp_path])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models.config").exists()


def test_importing_the_library_leaves_tensorflows_messages_alone():
    code = (
        "import os; os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)\n"
        "import saccade.layers, saccade.apps.captioning as c; c.APP\n"
        "assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    )
    assert run([sys.executable, "-c", code]).returncode == 0


def test_the_readme_names_targets_of_the_makefile_and_verbs_that_exist():
    readme = (ROOT / "README.md").read_text("utf-8")
    blocks = "\n".join(
        re.findall(r"^```\w*\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    )
    printed = set(re.findall(r"^make ([a-z]+)", blocks, re.MULTILINE))
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= printed <= set(targets)
    verbs = {
        command.name or command.callback.__name__ for command in cli.registered_commands
    }
    used = set(re.findall(r"^saccade ([a-z]+)", blocks, re.MULTILINE))
    assert used and used <= verbs
