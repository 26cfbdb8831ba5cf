"""Keep some motifs out of training and ask for them (section 4 of the paper): benchmarks/results/withheld.md.

python -m benchmarks.withheld --corpus out/annotated --work out/withheld     # an annotated folder of brush pictures

Two models are trained alike from nothing, one of them without any picture that shows a withheld motif.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.following import paint
from danqing import files, presets, steps, variants
from danqing.config import Decoding
from danqing.data import corpus as corpora
from danqing.evaluate import fidelity, probe
from danqing.evaluate.features import Features, PictureFeatures, title
from danqing.evaluate.following import leading
from danqing.machine import machine
from danqing.models.generate import Generator
from danqing.monitor import Terminal
from danqing.values import parse_assignments

RESULTS = Path(__file__).parent / "results"
WITHHELD = ("pagoda", "lotus", "bamboo")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What one model does on one set of prompts."""

    pictures: int
    hits: probe.Hits
    score: float
    """Inception-type score: of the extractor's own classifier over what was painted."""
    kernel: fidelity.Kernel


def shows(record: Mapping[str, Any], kinds: Sequence[str]) -> bool:
    """Whether any of `kinds` is in the picture, as its main element or beside it."""
    return record["main"] in kinds or any(e["kind"] in kinds for e in json.loads(record["elements"] or "[]"))


def without(folder: Path, out: Path, kinds: Sequence[str]) -> Path:
    """The corpus less every training and validation picture that shows one of `kinds`. The test split stays whole."""

    def kept() -> Iterator[corpora.Record]:
        for record in corpora.read(folder):
            if record["split"] == "test" or not shows(record, kinds):
                yield record

    if not (out / "done.json").is_file():
        files.write_json(out / "done.json", {"pictures": corpora.write(out, kept()), "withheld": list(kinds)})
    return out


def train(corpus: Path, work: Path, values: dict[str, Any]) -> Generator:
    """Tokenizer and painter from scratch, without CLIP guidance: its CLIP would have to be trained twice too."""
    line = presets.resolve("default", {**variants.PRESETS["small"][1], "painter.clip": 0.0, **values})
    given = {"train_tokenizer": {"corpus": corpus, "screener": corpus},
             "train_painter": {"corpus": corpus, "tokenizer": work / "train_tokenizer", "clip": corpus}}  # fmt: skip
    for name, inputs in given.items():
        monitor = Terminal(f"{work.name}, {name}")
        steps.run(name, getattr(line, steps.STEPS[name].section), inputs, work / name, monitor=monitor)
        monitor.close()
    return Generator.load(work / "train_tokenizer", work / "train_painter", Decoding())


def look(
    generator: Generator, captions: Sequence[str], asked: list[str], reader: PictureFeatures, judge: probe.Probe,
    learnt: np.ndarray, real: Features,
) -> Found:  # fmt: skip
    painted = reader(paint(generator, captions))
    _, seen = leading(learnt, painted.pooled)
    return Found(
        pictures=len(captions), hits=probe.hits(judge.predict(seen), asked),
        score=fidelity.classifier_score(reader.probabilities(painted.pooled)),
        kernel=fidelity.kernel_distance(painted.pooled, real.pooled, seed=0, size=min(100, len(captions))),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of brush pictures, written by annotate")
    parser.add_argument("--work", type=Path, required=True, help="where the two models go; a killed run goes on there")
    parser.add_argument("--withhold", nargs="+", default=list(WITHHELD), help="main elements")
    parser.add_argument("--prompts", type=int, default=400, help="held-out prompts of each kind, at most")
    parser.add_argument("--set", action="append", default=[], dest="values", help="e.g. painter.steps=400")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    values = parse_assignments(given.values)

    less = without(given.corpus, given.work / "less", given.withhold)
    models = {
        "all motifs": train(given.corpus, given.work / "all", values),
        f"without {', '.join(given.withhold)}": train(less, given.work / "without", values),
    }
    size = next(iter(models.values())).tokenizer.config.size
    reader = PictureFeatures()
    known, test = (corpora.load(given.corpus, split, size) for split in ("train", "test"))
    learnt = reader(known.images).pooled
    judge = probe.fit(leading(learnt)[0], [str(r["main"]) for r in known.frame.to_dict("records")], penalty=1e-3)
    rows = test.frame.to_dict("records")
    sets = {
        "withheld motifs": [i for i, r in enumerate(rows) if r["main"] in given.withhold][: given.prompts],
        "other motifs": [i for i, r in enumerate(rows) if not shows(r, given.withhold)][: given.prompts],
    }
    lines = [
        "# Withheld motifs", "",
        f"- **Trained** from scratch at {size} px, alike but for the pictures ({len(known)} brush pictures with all "
        f"motifs, {len(corpora.load(less, 'train', size))} without): tokenizer "
        f"{values.get('tokenizer.steps', variants.PRESETS['small'][1]['tokenizer.steps'])} steps, painter "
        f"{values.get('painter.steps', variants.PRESETS['small'][1]['painter.steps'])}, seed 0, no CLIP guidance",
        f"- **Extractor**: {title(size)}; the probe learnt from the whole training split. The score is exp of the mean "
        "divergence of its ImageNet classifier's answers (no Inception score: that one uses Inception)",
        f"- **Machine**: {machine()}", "",
        "| prompts | trained with | pictures | main element found (by chance) | score | kernel distance × 10³ |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for what, index in sets.items():
        real = reader(test.images[index])
        _, on_real = leading(learnt, real.pooled)
        asked = [str(rows[i]["main"]) for i in index]
        lines.append(
            f"| {what} | real pictures | {len(index)} | {100 * probe.hits(judge.predict(on_real), asked).rate:.0f} % | "
            f"{fidelity.classifier_score(reader.probabilities(real.pooled)):.2f} | – |"
        )
        for name, generator in models.items():
            f = look(generator, [test.captions[i] for i in index], asked, reader, judge, learnt, real)
            lines.append(
                f"| {what} | {name} | {f.pictures} | {100 * f.hits.rate:.0f} % ({100 * f.hits.chance:.0f} %) | "
                f"{f.score:.2f} | {1000 * f.kernel.mean:.0f} ± {1000 * f.kernel.sd:.0f} |"
            )
    files.write_text(given.out / "withheld.md", "\n".join(lines) + "\n")
    print(f"{given.out / 'withheld.md'}\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
