"""Which tokenizer a configuration means."""

from __future__ import annotations

from pathlib import Path

from danqing import values
from danqing.config import TokenizerModel
from danqing.models.flowmo import FlowMo
from danqing.models.improved import ImprovedVqgan
from danqing.models.tokenizer import Tokenizer, load_model
from danqing.models.vit_vqgan import VitVqgan
from danqing.models.vqgan import Vqgan

_FAMILIES: dict[str, type[Tokenizer]] = {
    "improved": ImprovedVqgan, "vqgan": Vqgan, "vit_vqgan": VitVqgan, "flowmo": FlowMo,
}  # fmt: skip


def build(c: TokenizerModel) -> Tokenizer:
    """A new tokenizer of the family that c names."""
    return _FAMILIES[c.family](c)


def load(folder: Path) -> Tokenizer:
    """The tokenizer that a training wrote into `folder`, ready for use."""
    settings, state = load_model(folder, "tokenizer")
    model = build(values.build(TokenizerModel, settings, f"{folder}/tokenizer.json"))
    model.load_state_dict(state)
    return model.eval()
