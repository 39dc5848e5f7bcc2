"""Fuzzing: whatever comes in, an answer or a UserError comes out.

    SACCADE_FUZZ_SECONDS=600 pytest -s tests/test_fuzz.py

takes that long in all and prints how many examples ran.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from . import machine
from .fuzz_targets import TARGETS

SECONDS = float(os.environ.get("SACCADE_FUZZ_SECONDS", "12"))
SCRIPT = pathlib.Path(__file__).with_name("fuzz_targets.py")


# One for each family of apps belongs to `make test`: what a picture, what a text is.
IN_BOTH_TIERS = [
    pytest.param(
        target, marks=[] if target in ("pictures", "texts") else pytest.mark.slow
    )
    for target in TARGETS
]


@pytest.mark.parametrize("target", IN_BOTH_TIERS)
def test_only_answers_and_user_errors(target, tmp_path):
    """In a process of its own, since some of it ends in C code."""
    share = SECONDS / len(TARGETS)
    done = subprocess.run(
        [sys.executable, SCRIPT, target, str(share)],
        env={
            **os.environ,
            "SACCADE_FUZZ_FOLDER": str(tmp_path),
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=machine.seconds(600) + 10 * share,
    )
    last = tmp_path / "last_input"
    assert done.returncode == 0, (
        f"exit status {done.returncode}; the last input:\n{last.read_text()[:5000]}\n"
        f"{done.stderr[-8000:]}"
    )
    (count,) = json.loads(done.stdout.splitlines()[-1]).values()
    print(f"\n{target}: {count:,} examples in {share:g} s")
    assert count >= 10
