"""As much of TF Serving as a client can see, over real exports.

The answers are those of `tf.saved_model.load`; the doors are written after TF Serving's
own documents (api_rest.md) and, for gRPC, are its own messages and service.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import re
import threading

import numpy as np
import tensorflow as tf


class Refused(Exception):
    """An error as TF Serving tells it: HTTP status, name of gRPC's status, text."""


class Models:
    """Exports by name and version.

    faults: what happens to the next requests instead of an answer, one each:
        "unavailable", "broken" (the connection ends) or a number of seconds to sleep.
    requests: (model, version, signature) of every request that was answered.
    """

    def __init__(self, folders, labels=()):
        self.folders = {(name, int(path.name)): path for name, path in folders}
        self.loaded = {}
        self.labels = dict(labels)
        self.faults, self.requests = [], []

    def load(self, name, version):
        """A model, loaded when it is first asked, and kept until another name is: each
        takes 100 to 300 MB."""
        key = name, version
        if key not in self.loaded:
            self.loaded = {k: v for k, v in self.loaded.items() if k[0] == name}
            self.loaded[key] = tf.saved_model.load(str(self.folders[key]))
        return self.loaded[key]

    def find(self, name, version=None, label=None):
        """The version that answers."""
        versions = [v for n, v in self.folders if n == name]
        if label:
            version = self.labels.get((name, label))
            if version is None:
                text = f"Unrecognized servable version label: {label}"
                raise Refused(400, "INVALID_ARGUMENT", text)
        elif version is None:
            version = max(versions, default=None)
        if version not in versions:
            text = f"Servable not found for request: Specific({name}, {version})"
            raise Refused(404, "NOT_FOUND", text)
        return version

    def function(self, name, version, signature):
        signatures = self.load(name, version).signatures
        if signature not in signatures:
            text = f'Serving signature name: "{signature}" not found in signature def'
            raise Refused(400, "FAILED_PRECONDITION", text)
        return signatures[signature]

    def predict(self, name, version, signature, inputs):
        """Arrays by name in and out; names must match exactly, as there."""
        function = self.function(name, version, signature)
        specs = function.structured_input_signature[1]
        if inputs.keys() != specs.keys():
            text = f"input size does not match signature: {sorted(specs)}"
            raise Refused(400, "INVALID_ARGUMENT", text)
        tensors = {}
        for key, spec in specs.items():
            given = tf.convert_to_tensor(inputs[key])
            if given.dtype != spec.dtype:
                text = f"Expects {key} to be {spec.dtype} but {given.dtype} is provided"
                raise Refused(400, "INVALID_ARGUMENT", text)
            tensors[key] = given
        self.requests.append((name, version, signature))
        return {key: value.numpy() for key, value in function(**tensors).items()}

    def signatures(self, name, version):
        """signature -> ({name: TensorSpec} of the inputs, of the outputs)."""
        return {
            signature: (f.structured_input_signature[1], f.structured_outputs)
            for signature, f in self.load(name, version).signatures.items()
        }


# REST

PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<verb>/metadata|:predict|)"
)


@contextlib.contextmanager
def rest(models, port=0):
    """Yields the port."""

    class Handler(Door):
        served = models

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # Head and body at once; else each answer waits for the network.

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.answer(self.metadata)

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(lambda *which: self.predict(json.loads(content), *which))

    def answer(self, respond):
        status, response = 200, None
        try:
            fault = self.served.faults.pop(0) if self.served.faults else None
            if fault == "broken":
                self.close_connection = True
                return
            if fault == "unavailable":
                raise Refused(503, "UNAVAILABLE", "still loading")
            if fault:
                threading.Event().wait(fault)
            match = PATH.fullmatch(self.path)
            if not match:
                text = f"Malformed request: {self.command} {self.path}"
                raise Refused(400, "INVALID_ARGUMENT", text)
            version = match["version"] and int(match["version"])
            version = self.served.find(match["name"], version, match["label"])
            response = respond(match["name"], version)
        except Refused as refused:
            status, _, text = refused.args
            response = {"error": text}
        content = json.dumps(response, ensure_ascii=False).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def metadata(self, name, version):
        def tensors(specs):
            return {
                key: {
                    "dtype": "DT_"
                    + spec.dtype.name.upper().replace("FLOAT32", "FLOAT"),
                    "tensor_shape": {
                        "dim": [
                            {"size": str(size or -1), "name": ""} for size in spec.shape
                        ],
                        "unknown_rank": False,
                    },
                    "name": f"{key}:0",
                }
                for key, spec in specs.items()
            }

        about = {
            signature: {
                "inputs": tensors(inputs),
                "outputs": tensors(outputs),
                "method_name": "tensorflow/serving/predict",
            }
            for signature, (inputs, outputs) in self.served.signatures(
                name, version
            ).items()
        }
        about["__saved_model_init_op"] = {
            "inputs": {},
            "outputs": {},
            "method_name": "",
        }
        spec = {"name": name, "signature_name": "", "version": str(version)}
        return {
            "model_spec": spec,
            "metadata": {"signature_def": {"signature_def": about}},
        }

    def predict(self, body, name, version):
        signature = body.get("signature_name", "serving_default")
        specs = self.served.function(name, version, signature)
        specs = specs.structured_input_signature[1]
        by_rows = "instances" in body
        if by_rows:  # A row of one input need not name it.
            rows = body["instances"]
            named = [set(r) if isinstance(r, dict) else None for r in rows]
            if None in named or named[0] == {"b64"}:
                rows = [{next(iter(specs)): row} for row in rows]
            columns = {key: [row[key] for row in rows] for key in rows[0]}
        else:
            columns = body["inputs"]
            if not isinstance(columns, dict):
                columns = {next(iter(specs)): columns}
        arrays = {
            key: np.array(from_json(value), specs[key].dtype.as_numpy_dtype)
            for key, value in columns.items()
            if key in specs
        }
        arrays |= {key: np.zeros(1) for key in columns.keys() - specs.keys()}
        outputs = self.served.predict(name, version, signature, arrays)
        values = {key: to_json(key, value) for key, value in outputs.items()}
        if not by_rows:
            return {
                "outputs": values if len(values) > 1 else next(iter(values.values()))
            }
        if len(values) == 1:
            return {"predictions": next(iter(values.values()))}
        rows = zip(*values.values(), strict=True)
        return {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}


def from_json(value):
    if isinstance(value, list):
        return [from_json(part) for part in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def to_json(name, array):
    def plain(item):
        if isinstance(item, list):
            return [plain(part) for part in item]
        if not isinstance(item, bytes):
            return item
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(item).decode()}
        return item.decode()  # an error where it is no UTF-8, as there

    return plain(array.tolist())


# gRPC


@contextlib.contextmanager
def grpc(models, port=0):
    """Yields the port. Needs the package tensorflow-serving-api."""
    import grpc
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    def which(spec):
        version = spec.version.value if spec.HasField("version") else None
        return spec.name, models.find(spec.name, version, spec.version_label or None)

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            def respond():
                spec = request.model_spec
                name, version = which(spec)
                signature = spec.signature_name or "serving_default"
                inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
                outputs = models.predict(name, version, signature, inputs)
                answer = predict_pb2.PredictResponse()
                answer.model_spec.name = name
                answer.model_spec.version.value = version
                for key, value in outputs.items():
                    answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
                return answer

            return self.answer(context, respond)

        def GetModelMetadata(self, request, context):
            def respond():
                name, version = which(request.model_spec)
                about = get_model_metadata_pb2.SignatureDefMap()
                for signature, sides in models.signatures(name, version).items():
                    description = about.signature_def[signature]
                    for side, specs in zip(
                        (description.inputs, description.outputs), sides, strict=True
                    ):
                        for key, spec in specs.items():
                            side[key].dtype = spec.dtype.as_datatype_enum
                            side[key].tensor_shape.CopyFrom(spec.shape.as_proto())
                answer = get_model_metadata_pb2.GetModelMetadataResponse()
                answer.model_spec.name = name
                answer.model_spec.version.value = version
                answer.metadata["signature_def"].Pack(about)
                return answer

            return self.answer(context, respond)

        def answer(self, context, respond):
            fault = models.faults.pop(0) if models.faults else None
            if fault in ("broken", "unavailable"):
                context.abort(grpc.StatusCode.UNAVAILABLE, "still loading")
            if fault:
                threading.Event().wait(fault)
            try:
                return respond()
            except Refused as refused:
                _, code, text = refused.args
                context.abort(grpc.StatusCode[code], text)

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
