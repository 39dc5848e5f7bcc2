"""A client of TF Serving, over REST or gRPC, and an app's answers through it.

    from saccade.apps.core.client import Client

    client = Client("localhost")  # or Client("localhost", grpc=True)
    picture = pathlib.Path("cat.jpg").read_bytes()
    answer = client.predict("captioning", {"image_bytes": [picture]})
    answer["caption"][0].decode()

REST needs the package requests, gRPC tensorflow-serving-api: pip install
"saccade[serving]".
"""

import base64
import collections.abc
import dataclasses
import functools
import random
import time
import typing

import numpy as np

from .config import UserError

REST_PORT, GRPC_PORT = 8501, 8500
LONGEST_PAUSE = 5.0  # seconds between two tries
INSTALL = 'pip install "saccade[serving]"'


class Unavailable(Exception):
    """No answer, and asking again may help: no connection, UNAVAILABLE or HTTP 503."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output of a signature; an open size in `shape` is None."""

    dtype: np.dtype
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a served function takes and returns, by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Model:
    """Which model a request is for: by default its greatest version."""

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self):
        if self.version is not None and self.label is not None:
            raise UserError(
                "Expected a version or a label, not both; received version "
                f"{self.version} and label {self.label!r}."
            )

    def __str__(self):
        if self.version is not None:
            return f"{self.name}, version {self.version}"
        return f"{self.name}, label {self.label}" if self.label else self.name


class Client:
    """Asks one server, and again where it was not to be reached.

    Args:
        host: name or address. port: 8501 for REST and 8500 for gRPC, if None.
        grpc: use gRPC; it is faster, REST needs less.
        timeout: seconds to wait for an answer, of each try.
        retries: how often to ask again after a broken connection, UNAVAILABLE or HTTP
            503, with pauses of about 0.1, 0.2, 0.4 ... 5 seconds; nothing else is asked
            again.

    Raises (all methods):
        UserError: what the server refused, did not answer in time, or could not be
            reached for.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int | None = None,
        grpc: bool = False,
        timeout: float = 30.0,
        retries: int = 4,
    ):
        port = port or (GRPC_PORT if grpc else REST_PORT)
        self._door = (_Grpc if grpc else _Rest)(host, port, timeout)
        self.retries = retries

    def predict(
        self,
        model: str,
        inputs: collections.abc.Mapping[str, typing.Any],
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
    ) -> dict[str, np.ndarray]:
        """What a signature answers.

        Args:
            inputs: input name -> array, tensor or list, rows first. Of lists, whole
                numbers are sent as int32, others as float32, str and bytes as strings.

        Returns:
            output name -> array, rows first; strings as bytes in arrays of objects.
        """
        asked = Model(model, version, label)
        arrays = {name: _array(value) for name, value in inputs.items()}
        return self._again(lambda: self._door.predict(asked, signature, arrays))

    def describe(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> tuple[int, dict[str, Signature]]:
        """The version that answers, and its signatures by name."""
        asked = Model(model, version, label)
        return self._again(lambda: self._door.describe(asked))

    def _again(self, ask):
        for i in range(self.retries + 1):
            try:
                return ask()
            except Unavailable as error:
                why = error
            if i < self.retries:
                # Not all clients of a server that comes back at the same moment.
                time.sleep(min(0.1 * 2**i, LONGEST_PAUSE) * random.uniform(0.75, 1.25))
        times = f"{self.retries + 1} times" if self.retries else "once"
        raise UserError(
            f"No answer from {self._door.address}, asked {times}: {why}. Is the server "
            "running? Start one with: saccade serve"
        )


def _array(value):
    """An array that keeps bytes as they are and has the numbers that exports take."""
    if hasattr(value, "dtype"):
        return np.asarray(value)  # a tensor's strings become bytes
    array = np.asarray(value, None if np.size(value) else "float32")
    if array.dtype.kind in "SUO":  # S would lose zero bytes at the end.
        return np.asarray(value, object)
    return array.astype(
        {"i": "int32", "f": "float32"}.get(array.dtype.kind, array.dtype)
    )


class _Rest:
    """TF Serving's REST API: https://www.tensorflow.org/tfx/serving/api_rest"""

    def __init__(self, host, port, timeout):
        try:
            import requests
        except ImportError:
            raise UserError(f"REST needs the package requests: {INSTALL}") from None
        self.address = f"http://{host}:{port}"
        self.timeout = timeout
        self.errors = requests.exceptions
        self.session = requests.Session()
        self.described = functools.cache(self.describe)

    def predict(self, model, signature, inputs):
        body = {
            "signature_name": signature,
            "inputs": {name: _to_json(array) for name, array in inputs.items()},
        }
        # JSON knows neither the name of a single output nor the types of numbers.
        outputs = self._outputs(model, signature)
        told = self._ask("POST", model, ":predict", body)["outputs"]
        if not _fits(told, outputs):  # A new version has come.
            self.described.cache_clear()
            outputs = self._outputs(model, signature)
        if len(outputs) == 1:
            told = {next(iter(outputs)): told}
        return {
            name: _from_json(told[name], tensor.dtype)
            for name, tensor in outputs.items()
        }

    def _outputs(self, model, signature):
        _, signatures = self.described(model)
        if signature not in signatures:
            raise UserError(
                f"{model} has no signature {signature!r}; it has "
                f"{', '.join(signatures)}."
            )
        return signatures[signature].outputs

    def describe(self, model):
        told = self._ask("GET", model, "/metadata")
        signatures = told["metadata"]["signature_def"]["signature_def"]

        def tensors(named):
            return {
                name: _tensor(
                    _dtype(info["dtype"]),
                    [int(d["size"]) for d in info["tensor_shape"].get("dim", ())],
                )
                for name, info in named.items()
            }

        return int(told["model_spec"]["version"]), {
            name: Signature(
                tensors(about.get("inputs", {})), tensors(about.get("outputs", {}))
            )
            for name, about in signatures.items()
            if not name.startswith("__")  # What a server calls when it loads a model.
        }

    def _ask(self, method, model, verb, body=None):
        path = f"/v1/models/{model.name}"
        if model.version is not None:
            path += f"/versions/{model.version}"
        elif model.label:
            path += f"/labels/{model.label}"
        try:
            answer = self.session.request(
                method, self.address + path + verb, json=body, timeout=self.timeout
            )
        except self.errors.ReadTimeout:
            raise _too_late(self) from None
        except (self.errors.ConnectionError, self.errors.ChunkedEncodingError) as error:
            raise Unavailable(_reason(error)) from None
        except self.errors.RequestException as error:
            raise UserError(f"Could not ask {self.address}: {error}") from None
        if answer.status_code == 503:
            raise Unavailable(_error_text(answer))
        if answer.status_code != 200:
            raise _refused(self, model, _error_text(answer))
        try:
            return answer.json()
        except ValueError:
            raise UserError(
                f"{self.address} does not answer as TF Serving's REST API does, but "
                f"{answer.text[:100]!r}. Is it the port of REST (8501 by default)?"
            ) from None


def _fits(told, outputs):
    """Whether a JSON answer is one of these outputs: the value of one, or a dict."""
    if len(outputs) == 1:
        return not isinstance(told, dict)
    return isinstance(told, dict) and told.keys() == outputs.keys()


def _reason(error):
    """The last cause of a broken connection, without its wrappings."""
    cause = error.args[0] if error.args else error
    return getattr(cause, "reason", cause)


def _error_text(answer):
    """TF Serving's own words, else what came."""
    try:
        return answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}: {answer.text[:200]}"


def _to_json(array):
    """Nested lists; bytes as {"b64": ...}, which TF Serving takes for any string."""
    if array.dtype.kind != "O":
        return array.tolist()

    def plain(item):
        if isinstance(item, list):
            return [plain(part) for part in item]
        if isinstance(item, bytes):
            return {"b64": base64.b64encode(item).decode()}
        return item

    return plain(array.tolist())


def _from_json(values, dtype):
    """An array; an output whose name ends in _bytes comes as {"b64": ...}."""
    if dtype.kind != "O":
        return np.array(values, dtype)

    def raw(item):
        if isinstance(item, list):
            return [raw(part) for part in item]
        if isinstance(item, dict):
            return base64.b64decode(item["b64"])
        return item.encode()

    return np.array(raw(values), object)


class _Grpc:
    """TF Serving's PredictionService."""

    def __init__(self, host, port, timeout):
        try:
            import grpc
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        except ImportError:
            raise UserError(
                f"gRPC needs the package tensorflow-serving-api: {INSTALL}. REST does "
                "without."
            ) from None
        self.address = f"{host}:{port}"
        self.timeout = timeout
        options = {
            # 4 MB by default, which attention maps of some pictures pass.
            "grpc.max_receive_message_length": -1,
            "grpc.max_send_message_length": -1,
            # gRPC itself waits before it connects again: no longer than `Client` does.
            "grpc.initial_reconnect_backoff_ms": 100,
            "grpc.max_reconnect_backoff_ms": int(LONGEST_PAUSE * 1000),
        }
        channel = grpc.insecure_channel(self.address, options=list(options.items()))
        self.service = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def predict(self, model, signature, inputs):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        _name(request.model_spec, model)
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._ask(self.service.Predict, model, request)
        return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}

    def describe(self, model):
        import tensorflow as tf
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        _name(request.model_spec, model)
        request.metadata_field.append("signature_def")
        answer = self._ask(self.service.GetModelMetadata, model, request)
        told = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(told)

        def tensors(named):
            return {
                name: _tensor(
                    np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype),
                    [d.size for d in info.tensor_shape.dim],
                )
                for name, info in named.items()
            }

        return answer.model_spec.version.value, {
            name: Signature(tensors(about.inputs), tensors(about.outputs))
            for name, about in told.signature_def.items()
            if not name.startswith("__")
        }

    def _ask(self, method, model, request):
        import grpc

        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise Unavailable(error.details()) from None
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _too_late(self) from None
            said = f"{error.code().name}: {error.details()}"
            raise _refused(self, model, said) from None


def _name(model_spec, model):
    """Fill in the message that names a model."""
    model_spec.name = model.name
    if model.version is not None:
        model_spec.version.value = model.version
    elif model.label:
        model_spec.version_label = model.label


def _tensor(dtype, sizes):
    return Tensor(dtype, tuple(None if size < 0 else size for size in sizes))


def _dtype(name):
    """NumPy's type for TensorFlow's, "DT_FLOAT" for instance."""
    short = name.removeprefix("DT_").lower()
    names = {"string": "object", "float": "float32", "double": "float64"}
    return np.dtype(names.get(short, short))


def _too_late(door):
    return UserError(
        f"{door.address} did not answer within {door.timeout:g} s. Wait longer with "
        "--timeout, or ask for less at once."
    )


def _refused(door, model, said):
    return UserError(f"{door.address} did not answer for {model}: {said}")


# An app through it

UNKNOWN = 0  # The id of what a vocabulary does not know; it is never written.


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
        self._only(options, getattr(self.app.serve, "REQUEST_OPTIONS", ()))
        return self.app.serve.from_signature(self._respond, inputs, **options)

    def _respond(self, **inputs):
        import tensorflow as tf

        answer = self.client.predict(self.app.name, inputs, **self.which)
        return {name: tf.constant(value) for name, value in answer.items()}

    def _only(self, options, free):
        fixed = [name for name in options if name not in free]
        if fixed:
            raise UserError(
                f"What is served decodes as it was exported; received "
                f"{', '.join(fixed)}. "
                + (f"A request can hold {', '.join(free)}." if free else "")
            )


class Streamed(Served):
    """As `Served`, and for language models also `stream`: the client chooses the
    tokens, one request of the signature `step` for each."""

    def stream(self, prompt, **options):
        """Yields the continuation of a prompt in parts, as the tokens are chosen.

        They are chosen as an export chooses them, by the same random numbers: joined,
        the parts are what `predict` answers.

        Args:
            prompt: str or bytes.
            options: fields of the app's `Decode`, also those that an export has fixed.

        The version that answers first answers to the end. Where the server drops it
        meanwhile, the stream ends with a UserError.
        """
        import tensorflow as tf

        from ...layers import decoding
        from .language_serving import LONGEST_PROMPT, PIECE

        free = {"length", "temperature", "top_k", "top_p", "seed", "stop"}
        self._only(options, sorted(free))
        name = self.app.name
        version, signatures = self.client.describe(name, **self.which)
        if "step" not in signatures:
            raise UserError(f"{name} answers all at once: leave --stream out.")

        def ask(signature, **inputs):
            return self.client.predict(name, inputs, signature, version)

        def read(token, states, reset=False):
            told = ask("step", token=[token], reset=[reset], **states)
            return told.pop("logits"), told

        options = self.app.config.Decode(**options)
        text, length = self._request(prompt, options)
        read_first = ask("encode", text=[text])["tokens"][0].tolist()
        if not read_first:
            raise UserError("Expected a prompt of at least one character.")
        stop = _stop_text(options.stop)
        stop = ask("encode", text=[stop])["tokens"][0].tolist() if stop else []

        # The first token's `reset` puts the initial state in, whatever is sent for it.
        states = {
            name: np.zeros([1, *tensor.shape[1:]], tensor.dtype)
            for name, tensor in signatures["step"].inputs.items()
            if name not in ("token", "reset")
        }
        for i, token in enumerate(read_first[-LONGEST_PROMPT:]):
            logits, states = read(token, states, reset=i == 0)

        tokens, told = [], 0
        for i in range(length):
            if i % PIECE == 0:
                draws = decoding.uniform(
                    PIECE, tf.constant([[options.seed, i // PIECE]])
                )
            logits[:, UNKNOWN] = -1e9
            if options.temperature > 0:
                chances = decoding.filter_top_k_top_p(
                    logits, max(options.temperature, 1e-6), options.top_k, options.top_p
                )
                token = int(decoding.categorical(chances, draws[:, i % PIECE])[0])
            else:
                token = int(np.argmax(logits))
            tokens.append(token)
            ended = bool(stop) and tokens[-len(stop) :] == stop
            if ended:
                tokens = tokens[: -len(stop)]
            # What may become the stop text is held back until that is clear.
            last = ended or i == length - 1
            sure = len(tokens) - (0 if last else max(len(stop) - 1, 0))
            for k in range(told, sure):
                before = tokens[k - 1] if k else -1
                added = ask("decode", before=[before], token=[tokens[k]])["text"]
                yield added[0].decode()
            told = max(told, sure)
            if last:
                return
            logits, states = read(token, states)

    def _request(self, prompt, options):
        """The text and the length that the app would send for a prompt."""
        import tensorflow as tf

        sent = {}

        def respond(**inputs):
            sent.update(inputs)
            return {"continuation": tf.constant([b""]), "length": tf.constant([0])}

        free = self.app.serve.REQUEST_OPTIONS
        chosen = {name: getattr(options, name) for name in free}
        self.app.serve.from_signature(respond, [prompt], **chosen)
        return sent["text"].numpy()[0], int(sent["length"].numpy()[0])


def _stop_text(stop):
    """A text; True is the end of a sentence. A shell hands \\n on as it is."""
    if isinstance(stop, bool):
        return "<EOS>" if stop else ""
    return stop.replace("\\n", "\n").replace("\\t", "\t")
