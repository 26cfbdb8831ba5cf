"""Stands in for Triton's onnxruntime backend where there is only the Python one: any ONNX model, on the CPU.

Triton takes a backend folder with a `model.py` for a *python-based backend*. With this one a configuration that says
`backend: "onnxruntime"` loads unchanged, and the onnxruntime wheel computes.

What that shows: the repository, the configuration, scheduling, batching, the cache, the protocol, and that the graph
runs. What it does not show: NVIDIA's C++ backend, its GPU placement, its own settings (`parameters`, `optimization`)
and its speed. Those belong to a test on NVIDIA's image.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        name = config["default_model_filename"] or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / name
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        # The settings of `danqing.package`, so that both paint the same picture bit for bit.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        self.batched = config["max_batch_size"] > 0
        self.inputs = [value["name"] for value in config["input"]]
        self.outputs = [value["name"] for value in config["output"]]

    def execute(self, requests):
        """One run for all requests of a batch, as the C++ backend does it, and the rows back to whom they belong."""
        feeds = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        if not self.batched:
            return [self._answer(lambda one=one: self._run(one)) for one in feeds]
        counts = [len(one[self.inputs[0]]) for one in feeds]
        try:
            joined = self._run({name: np.concatenate([one[name] for one in feeds]) for name in self.inputs})
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller must hear of it
            return [self._refuse(error) for _ in requests]
        ends = np.cumsum(counts)
        parts = [np.split(array, ends[:-1]) for array in joined]
        return [self._respond([part[i] for part in parts]) for i in range(len(requests))]

    def _run(self, feeds):
        return self.session.run(self.outputs, feeds)

    def _answer(self, run):
        try:
            return self._respond(run())
        except Exception as error:  # noqa: BLE001
            return self._refuse(error)

    def _respond(self, arrays):
        tensors = [pb_utils.Tensor(name, np.ascontiguousarray(a)) for name, a in zip(self.outputs, arrays, strict=True)]
        return pb_utils.InferenceResponse(tensors)

    @staticmethod
    def _refuse(error):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnxruntime: {error}"))
