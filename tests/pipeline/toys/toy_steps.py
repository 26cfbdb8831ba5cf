"""Steps that do in milliseconds what the line's steps do in minutes: the same files, nothing in them.

What goes wrong is asked for by an ordinary configuration value: `ingest.count` 13 breaks the corpus, 14 kills a
training in its middle with SIGKILL, 15 raises an error that nobody foresaw.
"""

import json
import os
import signal
from pathlib import Path

from danqing.errors import ValidationFailed


def _corpus(out: Path, count: int) -> dict:
    (out / "corpus.json").write_text(json.dumps({"records": count}))
    return {"records": count}


def ingest(*, out, config, monitor, scratch):
    monitor.progress(config.count, config.count)
    return _corpus(out, config.count)


def _count(corpus: Path) -> int:
    return json.loads((corpus / "corpus.json").read_text())["records"]


def screen(corpus, *, out, config, monitor, scratch):
    return _corpus(out, _count(corpus))


def annotate(corpus, *, out, config, monitor, scratch):
    return _corpus(out, _count(corpus))


def validate(corpus, *, out, config, monitor, scratch):
    (out / "report.html").write_text("<p>the corpus")
    if _count(corpus) == 13:
        raise ValidationFailed("expectation picture_count: column id: 13 brings bad luck")
    return {"passed": 1}


def _train(name, out, scratch, count, monitor):
    losses = []
    checkpoint = scratch / "losses.json"
    if checkpoint.is_file():
        losses = json.loads(checkpoint.read_text())
        (out / "resumed").write_text("yes")
    for step in range(len(losses), 4):
        losses.append(1.0 / (step + 1))
        monitor.metrics({"loss": losses[-1]}, step)
        monitor.progress(step + 1, 4, f"loss {losses[-1]:.2f}")
        first = not checkpoint.is_file()
        checkpoint.write_text(json.dumps(losses))
        if count == 14 and step == 1 and first is False and not (out / "resumed").is_file():
            os.kill(os.getpid(), signal.SIGKILL)
    if count == 15:
        raise RuntimeError("nobody foresaw this")
    (out / f"{name}.json").write_text(json.dumps(losses))
    return {"loss": losses[-1]}


def train_tokenizer(corpus, screener, *, out, config, monitor, scratch):
    return _train("tokenizer", out, scratch, _count(corpus), monitor)


def train_clip(corpus, *, out, config, monitor, scratch):
    return _train("clip", out, scratch, 0, monitor)


def train_painter(corpus, tokenizer, clip, *, out, config, monitor, scratch):
    return _train("painter", out, scratch, 0, monitor)


def evaluate(corpus, tokenizer, clip, painter, *, out, config, monitor, scratch):
    measured = {"psnr": 20.0, "match_p": 0.001, "kernel_distance": 0.5, "extractor": "toy"}
    (out / "metrics.json").write_text(json.dumps(measured))
    (out / "samples.png").write_bytes(b"\x89PNG")
    (out / "report.html").write_text("<p>the report")
    (out / "report.md").write_text("the report")
    return measured


def export(corpus, tokenizer, painter, *, out, config, monitor, scratch):
    for name in ("generate.onnx", "card.md"):
        (out / name).write_bytes(painter.joinpath("painter.json").read_bytes())
    return {"agreement": 1.0}
