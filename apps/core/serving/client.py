"""A client of TF Serving, over REST or gRPC; it knows no app.

    from saccade.apps.core.serving.client import Client

    client = Client("localhost")  # or Client("localhost", grpc=True)
    picture = pathlib.Path("cat.jpg").read_bytes()
    answer = client.predict("captioning", {"image_bytes": [picture]})
    answer["caption"][0].decode()

REST needs the package requests, gRPC tensorflow-serving-api: pip install
"saccade[serving]". What an app sends and receives through it: `served`.
"""

import base64
import collections.abc
import dataclasses
import functools
import random
import time
import typing

import numpy as np

from ..errors import UserError

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
        self._transport = (_Grpc if grpc else _Rest)(host, port, timeout)
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
        model = Model(model, version, label)
        arrays = {name: _array(value) for name, value in inputs.items()}
        return self._retry(lambda: self._transport.predict(model, signature, arrays))

    def describe(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> tuple[int, dict[str, Signature]]:
        """The version that answers, and its signatures by name."""
        model = Model(model, version, label)
        return self._retry(lambda: self._transport.describe(model))

    def _retry(self, request):
        for i in range(self.retries + 1):
            try:
                return request()
            except Unavailable as error:
                why = error
            if i < self.retries:
                # Not all clients of a server that comes back at the same moment.
                time.sleep(min(0.1 * 2**i, LONGEST_PAUSE) * random.uniform(0.75, 1.25))
        times = f"{self.retries + 1} times" if self.retries else "once"
        raise UserError(
            f"No answer from {self._transport.address}, asked {times}: {why}. Is the "
            "server running? Start one with: saccade serve"
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
        values = self._request("POST", model, ":predict", body)["outputs"]
        if not _fits(values, outputs):  # A new version has come.
            self.described.cache_clear()
            outputs = self._outputs(model, signature)
        if len(outputs) == 1:
            values = {next(iter(outputs)): values}
        return {
            name: _from_json(values[name], tensor.dtype)
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
        response = self._request("GET", model, "/metadata")
        signatures = response["metadata"]["signature_def"]["signature_def"]

        def tensors(named):
            return {
                name: _tensor(
                    _dtype(info["dtype"]),
                    [int(d["size"]) for d in info["tensor_shape"].get("dim", ())],
                )
                for name, info in named.items()
            }

        return int(response["model_spec"]["version"]), {
            name: Signature(
                tensors(about.get("inputs", {})), tensors(about.get("outputs", {}))
            )
            for name, about in signatures.items()
            if not name.startswith("__")  # What a server calls when it loads a model.
        }

    def _request(self, method, model, verb, body=None):
        path = f"/v1/models/{model.name}"
        if model.version is not None:
            path += f"/versions/{model.version}"
        elif model.label:
            path += f"/labels/{model.label}"
        try:
            response = self.session.request(
                method, self.address + path + verb, json=body, timeout=self.timeout
            )
        except self.errors.ReadTimeout:
            raise _too_late(self) from None
        except (self.errors.ConnectionError, self.errors.ChunkedEncodingError) as error:
            raise Unavailable(_reason(error)) from None
        except self.errors.RequestException as error:
            raise UserError(f"Could not ask {self.address}: {error}") from None
        if response.status_code == 503:
            raise Unavailable(_error_text(response))
        if response.status_code != 200:
            raise _refused(self, model, _error_text(response))
        try:
            return response.json()
        except ValueError:
            raise UserError(
                f"{self.address} does not answer as TF Serving's REST API does, but "
                f"{response.text[:100]!r}. Is it the port of REST (8501 by default)?"
            ) from None


def _fits(values, outputs):
    """Whether a JSON answer is one of these outputs: the value of one, or a dict."""
    if len(outputs) == 1:
        return not isinstance(values, dict)
    return isinstance(values, dict) and values.keys() == outputs.keys()


def _reason(error):
    """The last cause of a broken connection, without its wrappings."""
    cause = error.args[0] if error.args else error
    return getattr(cause, "reason", cause)


def _error_text(response):
    """TF Serving's own words, else what came."""
    try:
        return response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}: {response.text[:200]}"


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
        response = self._call(self.service.Predict, model, request)
        outputs = response.outputs.items()
        return {name: tf.make_ndarray(value) for name, value in outputs}

    def describe(self, model):
        import tensorflow as tf
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        _name(request.model_spec, model)
        request.metadata_field.append("signature_def")
        response = self._call(self.service.GetModelMetadata, model, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)

        def tensors(named):
            return {
                name: _tensor(
                    np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype),
                    [d.size for d in info.tensor_shape.dim],
                )
                for name, info in named.items()
            }

        return response.model_spec.version.value, {
            name: Signature(tensors(about.inputs), tensors(about.outputs))
            for name, about in signatures.signature_def.items()
            if not name.startswith("__")
        }

    def _call(self, method, model, request):
        import grpc

        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise Unavailable(error.details()) from None
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _too_late(self) from None
            message = f"{error.code().name}: {error.details()}"
            raise _refused(self, model, message) from None


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


def _too_late(transport):
    return UserError(
        f"{transport.address} did not answer within {transport.timeout:g} s. Wait "
        "longer with --timeout, or ask for less at once."
    )


def _refused(transport, model, message):
    return UserError(f"{transport.address} did not answer for {model}: {message}")
