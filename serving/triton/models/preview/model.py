"""Triton's `preview`: a whole picture after each step of decoding. Runs inside Triton, without danqing.

It keeps the state between the steps (the codes so far) and sends each picture before it computes the next. A caller who
goes away is not painted for: whether the request is cancelled is asked before every step.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.tokenize = parameters["tokenize"]
        self.global_steps, self.detail_steps = int(parameters["global_steps"]), int(parameters["detail_steps"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self.first, self.then = (self._session(folder / name) for name in ("global.onnx", "detail.onnx"))
        shapes = {value.name: value.shape for value in self.then.get_inputs()}
        self.blank = {
            "glob": np.zeros((1, shapes["glob"][1]), np.int64),
            "detail": np.zeros((1, *shapes["detail"][1:]), np.int64),
            "hidden": np.ones((1, shapes["hidden"][1]), bool),
        }

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
        glob, detail, hidden = self.blank["glob"], self.blank["detail"], self.blank["hidden"]
        total = self.global_steps + self.detail_steps
        for number in range(total):
            if sender.is_cancelled():
                return
            if number < self.global_steps:
                feeds = {**asked, "step": np.array([number]), "glob": glob}
                glob, picture = self.first.run(["new_glob", "picture"], feeds)
            else:
                step = np.array([number - self.global_steps])
                feeds = {**asked, "step": step, "glob": glob, "detail": detail, "hidden": hidden}
                detail, hidden, picture = self.then.run(["new_detail", "new_hidden", "picture"], feeds)
            yield pb_utils.InferenceResponse([
                pb_utils.Tensor("picture", picture),
                pb_utils.Tensor("step", np.array([number + 1], np.int32)),
                pb_utils.Tensor("steps", np.array([total], np.int32)),
            ])  # fmt: skip

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
