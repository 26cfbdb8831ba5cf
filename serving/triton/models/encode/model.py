"""Triton's `encode`: pixels become a PNG file that says which model painted it. Runs inside Triton, without danqing."""

import io
import json

import numpy as np
import triton_python_backend_utils as pb_utils
from PIL import Image
from PIL.PngImagePlugin import PngInfo


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.notes = PngInfo()
        self.notes.add_text("Software", parameters["software"]["string_value"])
        self.notes.add_text("danqing:model", parameters["model"]["string_value"])

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        pictures = pb_utils.get_input_tensor_by_name(request, "picture").as_numpy()
        encoded = np.array([[self._png(picture)] for picture in pictures], dtype=np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("png", encoded)])

    def _png(self, picture):
        buffer = io.BytesIO()
        # Level 3 takes half the time of the usual 6, and the file is 5 % larger.
        Image.fromarray(picture).save(buffer, format="PNG", pnginfo=self.notes, compress_level=3)
        return buffer.getvalue()
