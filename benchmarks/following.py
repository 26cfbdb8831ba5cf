"""How well prompts are followed, attribute by attribute, and in Chinese as in English: benchmarks/results/following.md.

python -m benchmarks.following --corpus out/annotated        # an annotated folder of brush pictures
python -m benchmarks.following --corpus out/annotated --judge 1200        # read by a network too: half an hour more
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from danqing import files
from danqing.config import Decoding
from danqing.data import corpus as corpora
from danqing.data.brush import MAINS
from danqing.data.brush import phrases as ph
from danqing.evaluate import following, judge, probe
from danqing.evaluate.features import NAME, PictureFeatures, title
from danqing.models import families
from danqing.models.generate import Generator
from danqing.models.tokenizer import Tokenizer
from danqing.monitor import Terminal
from danqing.pretrained import box
from danqing.train.tokenizer import reconstruct, sentences

RESULTS = Path(__file__).parent / "results"
TECHNIQUES = ("thick ink", "pale ink", "dry brush", "layered wash")
Terms = tuple[str, str]
"""The main element and the manner that a prompt asks for."""


def taxonomy_prompts() -> tuple[list[str], list[str], list[Terms]]:
    """The same pictures asked for in English and in Chinese, by the taxonomy's plain terms, and what they ask for."""
    english, chinese, asked = [], [], []
    seasons = itertools.cycle(ph.SEASON.values())
    for kind, manner, technique in itertools.product(MAINS, ph.CATEGORY, TECHNIQUES):
        noun = "枯树" if kind == "bare_tree" else ph.NOUN[kind][2]  # 树 (shù, tree) alone may have leaves
        season = next(seasons)
        english.append(f"{ph.ALIAS[kind][0]}, {manner}, {ph.TECHNIQUE[technique][0]}, {season[0]}")
        chinese.append("，".join((noun, ph.CATEGORY[manner][-1][1], ph.TECHNIQUE[technique][1], season[1])))
        asked.append((kind, manner))
    return english, chinese, asked


@torch.inference_mode()
def paint(generator: Generator, prompts: Sequence[str], batch: int = 32) -> np.ndarray:
    """uint8 (N, S, S, 3); picture i is painted from seed i."""
    pictures = []
    for start in range(0, len(prompts), batch):
        ids, mask = (torch.from_numpy(a) for a in generator.text.pieces(list(prompts[start : start + batch])))
        seeds = torch.arange(start, start + len(ids))
        pictures.append(generator(ids, mask, seeds, torch.full((len(ids),), generator.decoding.guidance)))
    return torch.cat(pictures).numpy()


def judged(
    steps: int, train: corpora.Pictures, test: corpora.Pictures, painted: np.ndarray, tokenizer: Tokenizer
) -> list[str]:
    """The same pictures read by a network that was trained for it, in Markdown."""
    known = following.attributes(train.frame.to_dict("records"))
    reader = judge.train(train.images, known, judge.Lesson(steps=steps), Terminal("the judge learns to read"))
    held, rows = test.images[: len(painted)], test.frame[: len(painted)].to_dict("records")
    again = reconstruct(tokenizer, torch.from_numpy(held), sentences(test.captions[: len(held)]))[0].numpy()
    on_real, on_painted, on_rebuilt = (reader.read(images) for images in (held, painted, again))
    found = following.compare(rows, reader.classes, on_real, on_painted)
    limits = {f.name: f.rate for f in following.compare(rows, reader.classes, on_real, on_rebuilt)}
    lines = [
        "## Read by a network", "",
        f"{NAME} trained on for {steps} steps of 32 on {len(train.images)} real brush pictures, sharp, soft and "
        "grainy, with a head for each attribute. The limit is what it finds in the tokenizer's reconstructions of the "
        "real pictures: no painter of this tokenizer's codes can be expected to be read better.", "",
        "| attribute | found | by chance | limit | right on real pictures | prompts that say it |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {f.name} | {100 * f.rate:.1f} % | {100 * f.chance:.1f} % | {100 * limits[f.name]:.1f} % "
        f"| {100 * f.accuracy:.1f} %{'' if f.trusted else ' (too weak)'} | {f.prompts} |" for f in found
    ]  # fmt: skip
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of brush pictures, written by annotate")
    parser.add_argument("--model", type=Path, default=box(), help="folder of tokenizer and painter [default: the box]")
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--train", type=int, default=4000, help="real pictures that the probes learn from, at most")
    parser.add_argument("--judge", type=int, default=0, help="steps of a network that learns to read; 0: probes only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()

    generator = Generator.load(given.model, given.model, Decoding())
    size = generator.tokenizer.config.size
    train, test = (corpora.load(given.corpus, split, size) for split in ("train", "test"))
    reader = PictureFeatures()
    learnt = reader(train.images[: given.train])
    rows = train.frame[: given.train].to_dict("records")
    held = test.frame[: given.prompts].to_dict("records")
    real = reader(test.images[: given.prompts])
    painted = paint(generator, test.captions[: given.prompts])
    found = following.follow(learnt, rows, real, reader(painted), held)
    blank = following.white_space(painted, test.images[: given.prompts])

    english, chinese, asked = taxonomy_prompts()
    languages = {name: reader(paint(generator, prompts)) for name, prompts in (("en", english), ("zh", chinese))}
    both = []
    for number, (name, kind, column) in enumerate(
        (("main element", "pooled", "main"), ("manner", "style", "category"))
    ):
        fitted = following.leading(*(getattr(f, kind) for f in (learnt, *languages.values())))
        judge = probe.fit(fitted[0], [str(r[column]) for r in rows], penalty=1e-3)
        rates = [probe.hits(judge.predict(f), [a[number] for a in asked]) for f in fitted[1:]]
        both.append((name, rates[0].rate, rates[1].rate, rates[0].chance))

    lines = [
        "# Following prompts", "",
        f"- **Model**: {size} × {size} px, guidance {generator.decoding.guidance:g}; one picture a prompt, picture i "
        "from seed i",
        f"- **Probes**: linear, on {title(size)}, learnt from {len(rows)} real brush pictures; their accuracy is that "
        f"on {len(held)} real held-out pictures that ask for the same. Below {100 * following.TRUSTED:.0f} % they "
        "prove nothing",
        "- **Chance**: the same pictures dealt to the same prompts at random", "",
        "| attribute | found | by chance | probe's accuracy | prompts that say it |", "|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {f.name} | {100 * f.rate:.1f} % | {100 * f.chance:.1f} % | {100 * f.accuracy:.1f} %"
        f"{'' if f.trusted else ' (too weak)'} | {f.prompts} |" for f in found
    ]  # fmt: skip
    lines += [f"| white space | correlation {blank:+.2f} | 0 | – | {len(held)} |", ""]
    if given.judge:
        lines += judged(given.judge, train, test, painted, families.load(given.model))
    lines += ["## English and Chinese", "",
              f"{len(asked)} prompts of the taxonomy's terms (element, manner, ink, season) in both languages, "
              f"the same seeds, e.g. “{english[0]}” and “{chinese[0]}”.", "",
              "| attribute | English | Chinese | by chance |", "|---|---|---|---|"]  # fmt: skip
    lines += [f"| {n} | {100 * en:.1f} % | {100 * zh:.1f} % | {100 * chance:.1f} % |" for n, en, zh, chance in both]
    files.write_text(given.out / "following.md", "\n".join(lines) + "\n")
    print(f"{given.out / 'following.md'}\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
