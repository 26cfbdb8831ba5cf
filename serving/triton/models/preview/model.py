"""Triton's `preview`: a whole picture after each step of decoding. Runs inside Triton, without danqing.

Each picture is sent before the next is computed, and a caller who goes away is not painted for: whether the request is
cancelled is asked after every step.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.tokenize = parameters["tokenize_model"]
        self.counts = int(parameters["global_steps"]), int(parameters["detail_steps"])
        folder = Path(args["model_repository"]) / args["model_version"]
        sys.path.insert(0, str(folder))
        from danqing.stepwise import steps

        self.steps = steps
        self.first, self.then = (self._session(folder / name) for name in ("global.onnx", "detail.onnx"))

    @staticmethod
    def _session(path):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            try:
                for response in self._paint(request, sender):
                    sender.send(response)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it and the stream end
                sender.send(self._refusal(f"preview: {error}"))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _paint(self, request, sender):
        read = self._read(request)
        if read.has_error():
            yield self._refusal(read.error().message())
            return
        asked = {
            ours: pb_utils.get_output_tensor_by_name(read, name).as_numpy()
            for ours, name in (("ids", "ids"), ("mask", "mask"), ("seed", "number"), ("guidance", "strength"))
        }
        asked["seed"], asked["guidance"] = asked["seed"][:, 0], asked["guidance"][:, 0]
        pictures = self.steps(self.first, self.then, asked, self.counts)
        for number, picture in enumerate(pictures, 1):
            yield pb_utils.InferenceResponse([
                pb_utils.Tensor("picture", picture),
                pb_utils.Tensor("step", np.array([number], np.int32)),
                pb_utils.Tensor("steps", np.array([sum(self.counts)], np.int32)),
            ])  # fmt: skip
            if sender.is_cancelled():
                return

    def _read(self, request):
        """Word pieces, seed and guidance by the model that does it for painting: one place for all checks."""
        names = ["prompt", "seed", "guidance"]
        tensors = [pb_utils.get_input_tensor_by_name(request, name) for name in names]
        outputs = ["ids", "mask", "number", "strength"]
        ask = pb_utils.InferenceRequest(
            model_name=self.tokenize, requested_output_names=outputs, inputs=[t for t in tensors if t is not None]
        )
        return ask.exec()

    @staticmethod
    def _refusal(message):
        error = pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
