"""The export step: tokenizer and painter → a package that onnxruntime or Triton serves.

danqing export --tokenizer out/tokenizer --painter out/painter --out out/package
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from danqing import __version__, files
from danqing.config import Export
from danqing.errors import DanqingError
from danqing.export.external import externalise
from danqing.export.graph import parity, to_onnx
from danqing.models import families
from danqing.models.generate import Generator
from danqing.models.painter import StackedDecoder
from danqing.monitor import Monitor
from danqing.package import GRAPH, TEXT_ENCODER, WORDPIECES, Package, write_manifest
from danqing.wordpieces import minilm


def export(
    tokenizer: Path, painter: Path, *, out: Path, config: Export, monitor: Monitor, scratch: Path
) -> dict[str, float | str]:
    """Write the package; DanqingError if ONNX does not paint what PyTorch paints."""
    monitor.progress(0, 3, "building the graph")
    generator = Generator.load(tokenizer, painter, config.decoding)
    model = to_onnx(generator)
    with files.atomic(out / GRAPH) as path:
        path.write_bytes(model.SerializeToString())
    monitor.progress(1, 3, "comparing ONNX with PyTorch")
    lineage = {
        "danqing": __version__,
        "tokenizer_sha256": files.sha256(tokenizer / "tokenizer.safetensors"),
        "painter_sha256": files.sha256(painter / "painter.safetensors"),
        "onnx_sha256": files.sha256(out / GRAPH),
    }
    package = _finish(out, generator, lineage, weights=None)
    report = parity(generator, package.session(), config.batches)
    _check(report, config)
    files.write_json(out / "parity.json", report)
    _finish(out, generator, lineage, weights=None)
    monitor.progress(3, 3, "done")
    return {"agreement": report["agreement"], "onnx_megabytes": (out / GRAPH).stat().st_size / 1e6}


def write_box(tokenizer: Path, painter: Path, card: str, *, out: Path, config: Export) -> dict[str, float]:
    """Write the model in the box: half-precision weights beside a graph without weights, checked like any package."""
    families.load(tokenizer).save(out, half=True)
    StackedDecoder.load(painter).save(out, half=True)
    # What is compared and what a run starts from is the rounded model, not the one that was trained.
    generator = Generator.load(out, out, config.decoding)
    ours = {f"text.{own}": f"text.{name}" for own, name in generator.text.file_names().items()}
    names = {ours.get(name, name) for name in generator.state_dict()}
    model, offsets = externalise(to_onnx(generator), names, rename=lambda name: ours.get(name, name))
    files.write_bytes(out / GRAPH, model.SerializeToString())
    files.write_text(out / "card.md", card)
    weights: dict[str, object] = {
        "files": ["tokenizer.safetensors", "painter.safetensors"],
        "text_encoder": TEXT_ENCODER,
        "text_encoder_sha256": files.sha256(minilm() / "model.safetensors"),
        "initializers": offsets,
    }
    lineage = {"danqing": __version__}
    package = _finish(out, generator, lineage, weights)
    report = parity(generator, package.session(), config.batches)
    _check(report, config)
    files.write_json(out / "parity.json", report)
    _finish(out, generator, lineage, weights)
    return {"agreement": report["agreement"], "bytes": float(sum(f.stat().st_size for f in out.iterdir()))}


def _check(report: dict[str, Any], config: Export) -> None:
    if report["agreement"] < config.min_agreement:
        raise DanqingError(
            f"export: only {report['agreement']:.2f} of the pictures are PyTorch's within one grey level, "
            f"{config.min_agreement} are asked for (export.min_agreement); parity by batch: {report['rows']}"
        )


def _finish(out: Path, generator: Generator, lineage: dict[str, str], weights: dict[str, object] | None) -> Package:
    generator.text.pieces.save(out / WORDPIECES)
    if not (out / "card.md").is_file():
        files.write_text(out / "card.md", card(generator))
    return write_manifest(
        out, name="danqing", size=generator.tokenizer.config.size, text_length=generator.painter.config.text_length,
        decoding=dataclasses.asdict(generator.decoding), lineage=lineage, weights=weights,
    )  # fmt: skip


def card(generator: Generator) -> str:
    t, p, d = generator.tokenizer.config, generator.painter.config, generator.decoding
    return f"""# danqing

A sentence becomes a traditional Chinese painting of {t.size} x {t.size} pixels.

- Tokenizer: improved VQGAN, {t.global_codes} global and {t.detail_codes} detail codes, stride {t.stride}.
- Painter: stacked decoder, {p.depth} layers of width {p.width}, text by MiniLM-L6 ({p.text_length} word pieces).
- Decoding: {d.global_steps} steps for the global codes, {d.detail_steps} for the detail codes, guidance {d.guidance}.

`package.json` names every file with its SHA-256; `parity.json` says how the graph compares with PyTorch.
"""
