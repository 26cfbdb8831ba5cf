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
from danqing.export.external import Layout, externalise
from danqing.export.graph import modules, parity, to_onnx
from danqing.models import families
from danqing.models.generate import Generator
from danqing.models.painter import StackedDecoder
from danqing.models.restore import Restorer
from danqing.monitor import Monitor, Silent
from danqing.package import GRAPH, TEXT_ENCODER, WORDPIECES, Package, file_of, write_manifest
from danqing.wordpieces import minilm


def export(
    corpus: Path, tokenizer: Path, painter: Path, *, out: Path, config: Export, monitor: Monitor, scratch: Path
) -> dict[str, float | str]:
    """Write the package; DanqingError if ONNX does not paint what PyTorch paints.

    corpus: what it was trained on, so that a picture can be traced to the nearest works.
    """
    lineage = {
        "danqing": __version__,
        "tokenizer_sha256": files.sha256(tokenizer / "tokenizer.safetensors"),
        "painter_sha256": files.sha256(painter / "painter.safetensors"),
    }
    works = index(corpus, out)
    report = write(tokenizer, painter, out=out, config=config, monitor=monitor, lineage=lineage)
    megabytes = sum(f.stat().st_size for f in out.iterdir() if f.is_file()) / 1e6
    return {"agreement": report["agreement"], "megabytes": megabytes, "works": works}


def index(corpus: Path, out: Path) -> int:
    """Put the works of the training split beside the model (`danqing.tracing`); returns how many."""
    from danqing import tracing
    from danqing.data import corpus as corpora

    found = corpora.load(corpus, "train")
    return tracing.write(list(found.images), found.frame.to_dict("records"), out)


def write_box(
    tokenizer: Path, painter: Path, card: str, *, corpus: Path, out: Path, config: Export
) -> dict[str, float]:
    """Write the model in the box: half-precision weights, and a card by hand. corpus: the works among what it saw."""
    files.write_text(out / "card.md", card)
    index(corpus, out)
    report = write(tokenizer, painter, out=out, config=config, half=True, lineage={"danqing": __version__})
    return {"agreement": report["agreement"], "bytes": float(sum(f.stat().st_size for f in out.iterdir()))}


def write(
    tokenizer: Path, painter: Path, *, out: Path, config: Export, lineage: dict[str, str], half: bool = False,
    monitor: Monitor | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Weights, the graphs that share them, and the manifest. half: the weights are kept in half precision."""
    monitor = monitor or Silent()
    families.load(tokenizer).save(out, half=half)
    StackedDecoder.load(painter).save(out, half=half)
    # What is compared and what a run starts from is what was written, rounded as it may be.
    restorer = Restorer.load(out, out, config.decoding)
    generator, layout = restorer.generator, Layout()
    found = {graph: module for graph, module in modules(restorer).items() if graph in config.graphs}
    texts = {f"text.{own}": f"text.{name}" for own, name in generator.text.file_names().items()}

    def rename(name: str) -> str:
        own = name.removeprefix("generator.")
        return texts.get(own, own)

    offsets = {}
    for number, (graph, module) in enumerate(found.items()):
        monitor.progress(number, len(found) + 1, f"building the graph {graph}")
        names = {rename(name) for name in module.state_dict()}
        model, offsets[graph] = externalise(to_onnx(graph, module, generator), names, rename=rename, layout=layout)
        files.write_bytes(out / file_of(graph), model.SerializeToString())
    weights: dict[str, object] = {
        "files": ["tokenizer.safetensors", "painter.safetensors"],
        "text_encoder": TEXT_ENCODER,
        "text_encoder_sha256": files.sha256(minilm() / "model.safetensors"),
        "initializers": offsets,
    }
    lineage = {**lineage, "onnx_sha256": files.sha256(out / GRAPH)}
    package = _finish(out, generator, lineage, weights)
    monitor.progress(len(found), len(found) + 1, "comparing ONNX with PyTorch")
    report = parity(found, {graph: package.session(graph) for graph in found}, generator, config.batches)
    _check(report, config)
    files.write_json(out / "parity.json", report)
    _finish(out, generator, lineage, weights)
    monitor.progress(len(found) + 1, len(found) + 1, "done")
    return report


def _check(report: dict[str, Any], config: Export) -> None:
    if report["agreement"] < config.min_agreement:
        raise DanqingError(
            f"export: only {report['agreement']:.2f} of the pictures are PyTorch's within one grey level, "
            f"{config.min_agreement} are asked for (export.min_agreement); parity by batch: {report['rows']}"
        )


def _finish(out: Path, generator: Generator, lineage: dict[str, str], weights: dict[str, object]) -> Package:
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
