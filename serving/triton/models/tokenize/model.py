"""Triton's `tokenize`: checks what a caller sends and turns words into word pieces.

Runs inside Triton, in an environment without danqing. The modules that it needs lie beside this file: the repository
builder puts them there, so that a repository never depends on what else is installed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        here = Path(args["model_repository"]) / args["model_version"]
        sys.path.insert(0, str(here))
        from danqing.errors import DanqingError
        from danqing.wordpieces import WordPieces

        parameters = json.loads(args["model_config"])["parameters"]
        self.length = int(parameters["length"]["string_value"])
        self.guidance = float(parameters["guidance"]["string_value"])
        self.temperature = float(parameters["temperature"]["string_value"])
        self.pieces = WordPieces(self.length, path=here / "wordpieces.json")
        self.error = DanqingError

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            words = pb_utils.get_input_tensor_by_name(request, "prompt").as_numpy()
            prompts = [self._prompt(value) for value in words.flat]
            shape = (len(prompts), 1)
            number = self._optional(request, "seed", np.zeros(shape, np.uint64))
            strength = self._optional(request, "guidance", np.full(shape, self.guidance, np.float32))
            warmth = self._optional(request, "temperature", np.full(shape, self.temperature, np.float32))
            if (number > np.uint64(2**63 - 1)).any():
                raise self.error(f"the seed is {number.max()}: use a number from 0 to {2**63 - 1}")
            if not ((strength >= 0) & (strength <= 100)).all():
                raise self.error("the guidance must be a number from 0 to 100, usually between 1 and 8")
            if not ((warmth > 0) & (warmth <= 10)).all():
                raise self.error("the temperature must be a number above 0 and at most 10, usually between 0.3 and 1")
            ids, mask = self.pieces(prompts)
        except self.error as error:
            refusal = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=refusal)
        number = number.astype(np.int64)
        outputs = {"ids": ids, "mask": mask, "number": number, "strength": strength, "warmth": warmth}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])

    def _prompt(self, value):
        try:
            return self.pieces.check(value.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise self.error("the prompt is not UTF-8 text") from error

    @staticmethod
    def _optional(request, name, otherwise):
        tensor = pb_utils.get_input_tensor_by_name(request, name)
        return otherwise if tensor is None else tensor.as_numpy()
