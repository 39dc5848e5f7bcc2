"""What is installed, what importing costs, and what the README promises."""

import pathlib
import re
import resource
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from saccade.apps.cli import main; main()"]


def run(arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, **options)


def test_the_wheel_holds_every_file_of_the_tree_and_nothing_else(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    built = run([*command, "--outdir", str(tmp_path), str(ROOT)])
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = {
        name.removeprefix("saccade/")
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith("saccade/")
    }
    tracked = run(["git", "ls-files", "layers", "apps"], cwd=ROOT).stdout.split()
    assert inside == set(tracked)


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
    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        answered = run([*COMMAND, *arguments])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert answered.returncode == 0, answered.stderr
        # Processor time: a busy machine does not make our code slower.
        return sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime"))

    assert min(seconds() for _ in range(3)) < 0.5


def test_listing_the_apps_does_not_import_tensorflow():
    code = (
        "import sys; from saccade.apps.cli import cli\n"
        "cli(['list'], standalone_mode=False)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    assert run([sys.executable, "-c", code]).returncode == 0


def test_importing_the_library_leaves_tensorflows_messages_alone():
    code = (
        "import os; os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)\n"
        "import saccade.layers, saccade.apps.captioning as c; c.APP\n"
        "assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    )
    assert run([sys.executable, "-c", code]).returncode == 0


def test_the_readme_names_targets_of_the_makefile_and_verbs_that_exist():
    readme = (ROOT / "README.md").read_text("utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make ([a-z]+)", readme)) <= set(targets)
    verbs = run([*COMMAND, "--help"]).stdout
    for verb in set(re.findall(r"^saccade ([a-z]+)", readme, re.MULTILINE)):
        assert verb in verbs
