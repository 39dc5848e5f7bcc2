"""An app's model on a server: its answers through a `Client`.

from saccade.apps.captioning import APP
from saccade.apps.core.served import Served
from saccade.apps.core.serving.client import Client

Served(APP, Client("localhost")).predict(["cat.jpg"])
"""

import tensorflow as tf

from .run import Answering


class Served(Answering):
    """An app's model on a server, used as an `Export` on disk is.

    Args:
        app: an `App`. client: a `Client`. version, label: as in `Client.predict`.
        streams: whether `predict` on a terminal asks for an answer in parts.

    The version that answers first answers to the end of a stream. Where the server
    drops it meanwhile, the stream ends with a UserError.
    """

    def __init__(self, app, client, version=None, label=None, streams=False):
        self.app, self.client, self.streams = app, client, streams
        self.task = app.task_for(app.Config())
        self.which = {"version": version, "label": label}
        self._described = None

    def _describe(self):
        if self._described is None:
            self._described = self.client.describe(self.app.name, **self.which)
        return self._described

    def inputs_of(self, signature):
        _, signatures = self._describe()
        if signature not in signatures:
            return None
        tensors = signatures[signature].inputs.items()
        return {name: tensor.shape for name, tensor in tensors}

    def call(self, signature, **inputs):
        response = self.client.predict(self.app.name, inputs, signature, **self.which)
        return {name: tf.constant(value) for name, value in response.items()}

    def stream(self, request, **options):
        version, _ = self._describe()
        one = Served(self.app, self.client, version)
        one._described = self._described
        return Answering.stream(one, request, **options)
