"""A model of Triton's Python backend: a SavedModel answers by one of its signatures.

It stands in Triton's repository as NAME/VERSION/model.py, beside the SavedModel in
NAME/VERSION/saved_model, and runs in a process that Triton starts, in an environment
that has TensorFlow and none of our code. `triton.add_version` puts it there.
"""

import json
import os

import tensorflow as tf
import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, arguments):
        """Load the SavedModel; what is raised here, Triton says in its log."""
        config = json.loads(arguments["model_config"])
        signature = config["parameters"]["signature"]["string_value"]
        folder = os.path.join(
            arguments["model_repository"], arguments["model_version"], "saved_model"
        )
        self.loaded = tf.saved_model.load(folder)  # Kept: it owns the variables.
        self.function = self.loaded.signatures[signature]
        _, self.inputs = self.function.structured_input_signature

    def execute(self, requests):
        """One answer per request. What Triton puts together is run as one batch."""
        try:
            return self.answer(requests)
        except Exception as error:
            response = backend.TritonError(f"{type(error).__name__}: {error}")
            return [backend.InferenceResponse(error=response) for _ in requests]

    def answer(self, requests):
        parts = {
            name: [
                tf.constant(
                    backend.get_input_tensor_by_name(request, name).as_numpy(),
                    spec.dtype,
                )
                for request in requests
            ]
            for name, spec in self.inputs.items()
        }
        response = self.function(
            **{name: tf.concat(tensors, axis=0) for name, tensors in parts.items()}
        )
        response = {name: tensor.numpy() for name, tensor in response.items()}
        answers, begin = [], 0
        for tensor in next(iter(parts.values())):
            rows = slice(begin, begin + tensor.shape[0])
            begin = rows.stop
            outputs = [
                backend.Tensor(name, value[rows]) for name, value in response.items()
            ]
            answers.append(backend.InferenceResponse(outputs))
        return answers
