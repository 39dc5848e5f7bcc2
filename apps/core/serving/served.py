"""An app's model on a server: its answers through a `Client`.

from saccade.apps.captioning import APP
from saccade.apps.core.serving.client import Client
from saccade.apps.core.serving.served import Served

Served(APP, Client("localhost")).predict(["cat.jpg"])
"""

from ..errors import UserError


class Served:
    """An app's model on a server, used as an `Export` on disk is.

    Args:
        app: an `App`. client: a `Client`. version, label: as in `Client.predict`.
    """

    def __init__(self, app, client, version=None, label=None):
        self.app, self.client = app, client
        self.which = {"version": version, "label": label}

    def predict(self, inputs, **options):
        """As `Run.predict`; how it decodes was fixed when it was exported, but for
        what a request can hold."""
        self._check_free(options, getattr(self.app.serve, "REQUEST_OPTIONS", ()))
        return self.app.serve.from_signature(self._respond, inputs, **options)

    def _respond(self, **inputs):
        import tensorflow as tf

        response = self.client.predict(self.app.name, inputs, **self.which)
        return {name: tf.constant(value) for name, value in response.items()}

    def _check_free(self, options, free):
        fixed = [name for name in options if name not in free]
        if fixed:
            raise UserError(
                f"What is served decodes as it was exported; received "
                f"{', '.join(fixed)}. "
                + (f"A request can hold {', '.join(free)}." if free else "")
            )
