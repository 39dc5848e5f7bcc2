"""Asks Triton, many clients at once: a program for Triton's own environment.

It gets its task as a line of JSON on standard input:

    door        "rest" or "grpc", of KServe's protocol, version 2
    address     HOST:PORT
    model       name; its newest version answers
    requests    list of {input name: {"type": "BYTES", "FP32" ..., "rows": list}}, where
                bytes are in base64
    clients     how many ask at the same time, each one request after the other
    seconds     how long, and then once more; 0: every request once; null: until
                standard input ends, and then once more

and prints two lines: "asking", when the first request has ended, and then JSON:

    answers     version -> list of the outputs to each request, or null where that
                version was never asked it
    changed     answers that were not equal to the first one of that version
    errors      what went wrong, each text once, and how often
    versions    per client the versions that answered it, in their order
    seconds     how long it took; latencies, ms of each request that was answered
"""

import base64
import collections
import itertools
import json
import struct
import sys
import threading
import time

import numpy as np

TIMEOUT = 60  # seconds


def rest(address, model):
    """A function from a request to (version, outputs), over REST."""
    import requests

    session = requests.Session()
    url = f"http://{address}/v2/models/{model}/infer"

    def send(inputs):
        response, binary = [], b""
        for name, given in inputs.items():
            message = {
                "name": name,
                "datatype": given["type"],
                "shape": [len(given["rows"]), 1],
            }
            if given["type"] == "BYTES":  # JSON has no bytes: they come behind it.
                rows = [struct.pack("<I", len(row)) + row for row in given["rows"]]
                message["parameters"] = {"binary_data_size": sum(map(len, rows))}
                binary += b"".join(rows)
            else:
                message["data"] = given["rows"]
            response.append(message)
        head = json.dumps({"inputs": response}).encode()
        answer = session.post(
            url,
            data=head + binary,
            headers={"Inference-Header-Content-Length": str(len(head))},
            timeout=TIMEOUT,
        )
        if answer.status_code != 200:
            raise RuntimeError(f"HTTP {answer.status_code}: {answer.text}")
        message = answer.json()
        return message["model_version"], {
            output["name"]: np.reshape(output["data"], output["shape"])
            for output in message["outputs"]
        }

    return send


def grpc(address, model):
    """A function from a request to (version, outputs), over gRPC."""
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import triton_to_np_dtype

    client = InferenceServerClient(address)

    def send(inputs):
        response = []
        for name, given in inputs.items():
            rows = np.array(given["rows"], triton_to_np_dtype(given["type"]))[:, None]
            response.append(InferInput(name, rows.shape, given["type"]))
            response[-1].set_data_from_numpy(rows)
        answer = client.infer(model, response, client_timeout=TIMEOUT)
        message = answer.get_response()
        return message.model_version, {
            output.name: readable(answer.as_numpy(output.name))
            for output in message.outputs
        }

    return send


def readable(array):
    """Strings instead of bytes, as REST has them."""
    if array.dtype != object:
        return array
    texts = [item.decode() for item in array.ravel()]
    return np.reshape(texts, array.shape)


def equal(one, other):
    """Whether two answers are: numbers up to what a batch's size does to rounding."""
    return one.keys() == other.keys() and all(
        np.allclose(one[name], other[name], rtol=1e-3, atol=1e-5)
        if one[name].dtype.kind == "f"
        else np.array_equal(one[name], other[name])
        for name in one
    )


class Load:
    """The clients, and what they heard."""

    def __init__(self, task):
        self.task = task
        self.requests = [decoded(request) for request in task["requests"]]
        self.first = {}  # (version, request) -> answer
        self.changed, self.errors = 0, collections.Counter()
        self.latencies = []
        self.versions = [[] for _ in range(task["clients"])]
        self.lock = threading.Lock()
        self.asking, self.over = threading.Event(), threading.Event()

    def run(self):
        threads = [
            threading.Thread(target=self.client, args=[i])
            for i in range(self.task["clients"])
        ]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        self.asking.wait(TIMEOUT)
        print("asking", flush=True)
        if self.task["seconds"] is None:
            sys.stdin.read()
            self.over.set()
        elif self.task["seconds"]:
            self.over.wait(self.task["seconds"])
            self.over.set()
        for thread in threads:
            thread.join()
        self.took = time.perf_counter() - begun

    def client(self, number):
        send = {"rest": rest, "grpc": grpc}[self.task["door"]](
            self.task["address"], self.task["model"]
        )
        count = len(self.requests)
        requested = (
            range(count) if self.task["seconds"] == 0 else itertools.count(number)
        )
        for i in requested:
            last = self.over.is_set()  # So one begins behind the end.
            self.ask_once(send, i % count, number)
            self.asking.set()
            if last:
                return

    def ask_once(self, send, i, number):
        begun = time.perf_counter()
        try:
            version, outputs = send(self.requests[i])
        except Exception as error:
            with self.lock:
                self.errors[f"{type(error).__name__}: {error}"[:500]] += 1
            return
        latency = time.perf_counter() - begun
        with self.lock:
            self.latencies.append(1e3 * latency)
            first = self.first.setdefault((version, i), outputs)
            if self.versions[number][-1:] != [version]:
                self.versions[number].append(version)
        if not equal(first, outputs):
            with self.lock:
                self.changed += 1

    def report(self):
        answers = {}
        for (version, i), outputs in self.first.items():
            response = answers.setdefault(version, [None] * len(self.requests))
            response[i] = {name: array.tolist() for name, array in outputs.items()}
        return {
            "answers": answers,
            "changed": self.changed,
            "errors": self.errors,
            "versions": self.versions,
            "seconds": self.took,
            "latencies": self.latencies,
        }


def decoded(request):
    return {
        name: {
            **given,
            "rows": [base64.b64decode(row) for row in given["rows"]]
            if given["type"] == "BYTES"
            else given["rows"],
        }
        for name, given in request.items()
    }


if __name__ == "__main__":
    load = Load(json.loads(sys.stdin.readline()))
    load.run()
    print(json.dumps(load.report()))
