"""How captions are told where the contract of all apps does not say it."""

import pytest

from saccade.apps.captioning.config import Config, Options
from saccade.apps.captioning.task import task_for
from saccade.apps.core.data.rows import Examples
from saccade.apps.core.errors import UserError


def test_a_lost_picture_is_no_wrong_caption_but_an_error(tmp_path):
    """Among requests it is answered, among test pictures it would spoil the scores."""
    gone = str(tmp_path / "gone.png")
    examples = Examples(image=[gone], captions=[["a red circle"]])
    answers = [{"ok": False, "error": "there is no such file", "caption": ""}]
    with pytest.raises(UserError, match="gone.png.* there is no such file"):
        task_for(Config()).measure(answers, examples)
    assert Options(beam=2).beam == 2
