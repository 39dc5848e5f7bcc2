"""What was trained of an app, handed from one session of `make test` to those after it.

The sessions of tests/apps train every app anew and keep what they made
(`--trained keep`); the others take it (`--trained take`), where it was made by the same
sources, and train where there is nothing to take.
"""

import hashlib
import pathlib
import shutil

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / ".pytest_cache" / "trained"
KEEP, TAKE = "keep", "take"


def sources():
    """A hash of all that a training depends on."""
    digest = hashlib.sha256()
    tops = ("layers", "apps", "tests/apps")
    files = [path for top in tops for path in (ROOT / top).rglob("*.py")]
    for path in sorted([*files, ROOT / "setup.cfg", ROOT / "constraints.txt"]):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Kept:
    """The folders of one app.

    Args:
        name: of the app. how: KEEP, TAKE or None, neither.
    """

    def __init__(self, name, how):
        self.folder, self.how = FOLDER / sources() / name, how

    def made(self, part, folder, make):
        """Take `part`, "run" or "export", as `folder`; else `make` it there.

        Returns:
            whether it was taken.
        """
        kept = self.folder / part
        if self.how == TAKE and kept.exists():
            shutil.copytree(kept, folder)
            return True
        make(folder)
        if self.how == KEEP:
            self._keep(folder, kept)
        return False

    def _keep(self, folder, kept):
        for old in FOLDER.glob("*"):
            if old != self.folder.parent:
                shutil.rmtree(old, ignore_errors=True)
        # Whole or not at all: the session may be stopped.
        partly = kept.with_name(f".{kept.name}")
        for old in (partly, kept):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(folder, partly)
        partly.rename(kept)
