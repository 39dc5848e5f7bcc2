"""How captions are told where the contract of all apps does not say it."""

import pytest

from saccade.apps.captioning import serve
from saccade.apps.captioning.config import Config, Decode
from saccade.apps.captioning.examples import Examples
from saccade.apps.core.errors import UserError


def test_a_graph_is_made_once():
    """Making it takes seconds; a second `predict` takes the first one's."""
    parts = (object(), Config(), object())
    graph = serve.responder(*parts, Decode(beam=2))
    assert serve.responder(*parts, Decode(beam=2)) is graph
    assert serve.responder(*parts, Decode(beam=3)) is not graph


def test_a_lost_picture_is_no_wrong_caption_but_an_error(tmp_path):
    """Among inputs it is answered, among test pictures it would spoil the scores."""
    examples = Examples([str(tmp_path / "gone.png")], [["a red circle"]])
    with pytest.raises(UserError, match="found none at .*gone.png"):
        serve.evaluate(None, Config(), None, examples, Decode())
