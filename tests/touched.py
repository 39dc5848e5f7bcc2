"""The apps of which `.ci/run` runs every test: one of each family, and those of late.

    python -m tests.touched

prints them with commas between, as pytest's --apps takes them.
"""

import pathlib
import subprocess

from saccade.apps import REGISTRY

from .groups import representatives

ROOT = pathlib.Path(__file__).parents[1]
COMMITS = 10
# So many apps are tested all where it cannot be told what was changed of late.
FEW = 4


def git(root, *words):
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def changed_files(root):
    """Paths in which the files here differ from those of COMMITS ago, or of as many as
    there are; None where there is no commit before this one (a clone of depth 1)."""
    count = f"--max-count={COMMITS + 1}"
    *later, base = git(root, "rev-list", "--first-parent", count, "HEAD") or [None]
    return git(root, "diff", "--name-only", base) if later else None


def app_of(path):
    """The app that a file belongs to, by its folder or its name; else None."""
    parts = [*pathlib.PurePath(path).parts[:-1], pathlib.PurePath(path).stem]
    return next((part for part in parts if part in REGISTRY), None)


def touched(root):
    """Names of apps, in their order."""
    changed = changed_files(root)
    if changed is None:
        late = set(REGISTRY if len(REGISTRY) <= FEW else ())
    else:
        late = {app_of(path) for path in changed} - {None}
    return sorted({*representatives(), *late})


if __name__ == "__main__":
    print(",".join(touched(ROOT)))
