"""Step `evaluate`: paints the held-out prompts, measures everything, writes the figures, the sheets and the report.

danqing evaluate --corpus annotated/ --tokenizer tokenizer/ --clip clip/ --painter painter/ --out evaluation/
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from danqing import collectives, files, ranks
from danqing.config import Evaluate
from danqing.data import corpus as corpora
from danqing.evaluate import alignment, fidelity, following, lines, memorisation, probe
from danqing.evaluate.charts import read_curves
from danqing.evaluate.features import NAME, Features, PictureFeatures, title
from danqing.evaluate.findings import Findings, Neighbour
from danqing.evaluate.grids import sheet
from danqing.evaluate.report import html, markdown
from danqing.models import families
from danqing.models.clip import Clip
from danqing.models.generate import Generator
from danqing.monitor import Monitor
from danqing.train.loop import device
from danqing.train.tokenizer import codebook_metrics, reconstruct, sentences

_SHOWN_PAIRS, _SHOWN_NEIGHBOURS = 8, 6
_ENOUGH = 40
"""Held-out pictures below which shares of them say nothing of single attributes."""
_FEW = "the test split has too few pictures ({count})"


def evaluate(
    corpus: Path, tokenizer: Path, clip: Path, painter: Path, *, out: Path, config: Evaluate, monitor: Monitor,
    scratch: Path,
) -> dict[str, float | str | bool]:  # fmt: skip
    """Measure a tokenizer and a painter on the held-out split; `clip/judge` judges, the guide is never asked.

    Writes metrics.json, samples.png, reconstructions.png, report.html and report.md; returns what metrics.json holds.
    A figure that cannot be measured is absent from it, with the reason in the report. Several ranks (`danqing.ranks`)
    share reconstructing, painting and reading features, batch by batch, so that the figures are those of one; the
    first measures, writes and returns.
    """
    train, test = corpora.load(corpus, "train"), corpora.load(corpus, "test")
    test = _take(test, _choose(test, config))
    count, size = len(test), test.images.shape[1]
    painting = count * config.repeats
    work = _Progress(monitor, painting=painting, reading=len(train) + 2 * count + painting)
    found = Findings(extractor=title(size))
    found.note("pictures", painting)
    found.note("prompts", count)
    found.note("seed", config.seed)
    found.note("reference", len(train))

    work.say("reconstructing")
    again = _reconstruct(found, tokenizer, test)
    _keeping(found, test.images, again)
    # Once through all prompts, then all again: picture i is of prompt i % count.
    asked = test.captions * config.repeats
    seeds = [config.seed + i for i in range(len(asked))]
    painted = _paint(tokenizer, painter, asked, seeds, config, work)

    work.say("reading features")
    features = PictureFeatures()
    sets = _Features(
        train=features(train.images, work.read), real=features(test.images, work.read),
        painted=features(painted, work.read), again=features(again, work.read),
    )  # fmt: skip
    if not ranks.first():
        return {}
    work.say("measuring")
    _likeness(found, sets, config.seed)
    found.note("classifier_score", fidelity.classifier_score(features.probabilities(sets.painted.pooled)))
    found.note("classifier_score_real", fidelity.classifier_score(features.probabilities(sets.real.pooled)))
    _following(found, Clip.load(clip / "judge").to(device()), painted, test, config)
    _probing(found, sets, list(train.frame["main"]), list(test.frame["main"]))
    _attributes(found, sets, painted, train, test)
    _copying(found, sets, painted, train, test.images, asked)

    shown = slice(0, min(config.grid, count))
    found.samples, found.prompts, found.seeds = painted[shown], asked[shown], seeds[shown]
    found.originals, found.reconstructions = test.images[:_SHOWN_PAIRS], again[:_SHOWN_PAIRS]
    found.about = _about(found, config, clip, size)
    trainings = {"tokenizer": tokenizer, "clip": clip, "painter": painter}
    found.curves = {name: read_curves(folder / "curves.csv") for name, folder in trainings.items()}
    _write(out, found, config)
    strips = {"original": test.images, "reconstruction": again, "painted": painted}
    for name, pictures in strips.items():  # without captions and frames, for whoever compares evaluations
        files.write_bytes(out / f"strips/{name}.png", corpora.encode(np.concatenate(list(pictures[:_SHOWN_PAIRS]), 1)))
    files.write_json(out / "strips/prompts.json", asked[:_SHOWN_PAIRS])
    measured: dict[str, float | str | bool] = {**found.metrics, "held_out": _identity(test)}
    files.write_json(out / "metrics.json", measured)
    monitor.metrics(found.metrics)
    work.end()
    return measured


@dataclass(frozen=True, kw_only=True, slots=True)
class _Features:
    train: Features
    real: Features
    painted: Features
    again: Features


class _Progress:
    """One bar over work of two kinds: a painted picture costs about as much as ten that are only read."""

    def __init__(self, monitor: Monitor, *, painting: int, reading: int) -> None:
        self._monitor, self._total, self._done, self._note = monitor, 10 * painting + reading + 1, 0, ""

    def _add(self, units: int) -> None:
        self._done = min(self._done + units, self._total - 1)
        self._monitor.progress(self._done, self._total, self._note)

    def say(self, note: str) -> None:
        self._note = note
        self._add(0)

    # Of several ranks only the first is heard: while it does its part, the others do as much.

    def painted(self, count: int) -> None:
        self._add(10 * count * ranks.world())

    def read(self, count: int) -> None:
        self._add(count * ranks.world())

    def end(self) -> None:
        self._monitor.progress(self._total, self._total, "report written")


def _choose(test: corpora.Pictures, config: Evaluate) -> list[int]:
    """Which held-out pictures lend their prompts, in what order: dealt at random, then the main elements by turns.

    So the first sixteen, which are shown, show many things, and nothing is chosen by how it came out.
    """
    order = np.random.default_rng(config.seed).permutation(len(test))[: config.pictures]
    turns: dict[str, int] = {}
    ranked = []
    for place, index in enumerate(order):
        main = str(test.frame["main"].iloc[index]) or str(test.frame["theme"].iloc[index])
        turns[main] = turns.get(main, 0) + 1
        ranked.append((turns[main], place, int(index)))
    return [index for _, _, index in sorted(ranked)]


def _take(pictures: corpora.Pictures, chosen: Sequence[int]) -> corpora.Pictures:
    return corpora.Pictures(
        images=pictures.images[list(chosen)],
        captions=[pictures.captions[i] for i in chosen],
        frame=pictures.frame.iloc[list(chosen)].reset_index(drop=True),
    )


def _identity(test: corpora.Pictures) -> str:
    """Fingerprint of the pictures that are measured on: only figures with an equal one can be compared."""
    digest = hashlib.sha256()
    for picture, caption in sorted(zip((p.tobytes() for p in test.images), test.captions, strict=True)):
        digest.update(picture + caption.encode())
    return digest.hexdigest()[:16]


@torch.inference_mode()
def _reconstruct(found: Findings, tokenizer: Path, test: corpora.Pictures) -> np.ndarray:
    model = families.load(tokenizer).to(device())
    again, codes = reconstruct(model, torch.from_numpy(test.images), sentences(test.captions))
    with ranks.apart():  # every rank has all codes
        used = codebook_metrics(codes, model.config)
    for name, value in used.items():
        if name.endswith("_usage"):
            found.note(name, value)
    return again.numpy()


@torch.inference_mode()
def _paint(
    tokenizer: Path, painter: Path, prompts: list[str], seeds: list[int], config: Evaluate, work: _Progress
) -> np.ndarray:
    """uint8 (N, S, S, 3): one picture for each prompt. Its seed is its own, whichever rank paints it."""
    work.say("loading the painter")
    generator = Generator.load(tokenizer, painter, config.decoding).to(device())
    where = generator.device
    work.say("painting")

    def part(rows: slice) -> list[torch.Tensor]:
        ids, mask = (torch.from_numpy(a).to(where) for a in generator.text.pieces(prompts[rows]))
        seed = torch.tensor(seeds[rows], dtype=torch.int64, device=where)
        guidance = torch.full((len(ids),), config.decoding.guidance, dtype=torch.float32, device=where)
        painted = generator(ids, mask, seed, guidance)
        work.painted(len(ids))
        return [painted]

    return collectives.in_parts(len(prompts), config.batch, part)[0].numpy()


def _keeping(found: Findings, originals: np.ndarray, again: np.ndarray) -> None:
    found.note("reconstructed", len(originals))
    found.note("psnr", float(fidelity.psnr(again, originals).mean()))
    found.note("ssim", float(fidelity.ssim(again, originals).mean()))
    kept = lines.compare(again, originals)
    blank = "no held-out picture has a line"
    found.note("line_energy", kept.energy, blank)
    found.note("line_correlation", kept.correlation, blank)
    found.note("spectrum_ratio", kept.spectrum, blank)


def _likeness(found: Findings, sets: _Features, seed: int) -> None:
    why = _FEW.format(count=len(sets.real))
    if min(len(sets.real), len(sets.train)) < 4:
        for name in ("kernel_distance", "frechet_distance"):
            found.note(name, None, why)
        return
    ours = fidelity.kernel_distance(sets.painted.pooled, sets.train.pooled, seed=seed)
    floor = fidelity.kernel_distance(sets.real.pooled, sets.train.pooled, seed=seed)
    again = fidelity.kernel_distance(sets.again.pooled, sets.train.pooled, seed=seed)
    for name, value in (
        ("kernel_distance", ours.mean), ("kernel_distance_sd", ours.sd), ("kernel_floor", floor.mean),
        ("kernel_floor_sd", floor.sd), ("kernel_subsets", ours.subsets), ("kernel_subset_size", ours.size),
        ("reconstruction_kernel_distance", again.mean),
        ("frechet_distance", fidelity.frechet_distance(sets.painted.pooled, sets.train.pooled)),
        ("frechet_floor", fidelity.frechet_distance(sets.real.pooled, sets.train.pooled)),
    ):  # fmt: skip
        found.note(name, value)


@torch.inference_mode()
def _following(found: Findings, judge: Clip, painted: np.ndarray, test: corpora.Pictures, config: Evaluate) -> None:
    if len(test) < 2:
        found.note("match_p", None, _FEW.format(count=len(test)))
        return
    text = torch.cat([judge.text(test.captions[i : i + 64]) for i in range(0, len(test), 64)])

    def cosines(images: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(images).permute(0, 3, 1, 2).split(64)
        unit = torch.cat([judge.image(p.to(judge.device).float().div(127.5).sub(1)) for p in parts])
        result: np.ndarray = (unit @ text.T).cpu().numpy()
        return result.reshape(-1, len(test), len(test)).mean(0)  # over the pictures of one prompt

    ours = cosines(painted)
    match = alignment.match_test(ours, permutations=config.permutations, seed=config.seed)
    real = alignment.match_test(cosines(test.images), permutations=config.permutations, seed=config.seed)
    found.null = match.null
    for name, value in (
        ("clip_cosine", match.cosine), ("clip_cosine_shuffled", match.shuffled), ("clip_cosine_real", real.cosine),
        ("clip_score", alignment.clip_score(np.diagonal(ours))), ("match_margin", match.margin),
        ("match_margin_real", real.margin), ("match_effect", match.effect), ("match_p", match.p),
        ("match_p_least", 1 / (1 + match.permutations)), ("permutations", match.permutations),
    ):  # fmt: skip
        found.note(name, value)


def _probing(found: Findings, sets: _Features, train_mains: list[str], asked: list[str]) -> None:
    classes = probe.usable(train_mains)
    if len(classes) < 2 or not any(asked):
        why = f"the corpus does not say what its pictures' main elements are ({len(classes)} kinds known in training)"
        found.note("probe_hit_rate", None, why)
        return
    judge = probe.fit(sets.train.pooled, train_mains)
    seen = probe.hits(judge.predict(sets.painted.pooled), asked * (len(sets.painted) // len(asked)))
    found.note("probe_accuracy", probe.hits(judge.predict(sets.real.pooled), asked).rate)
    found.note("probe_reconstruction", probe.hits(judge.predict(sets.again.pooled), asked).rate)
    found.note("probe_hit_rate", seen.rate)
    found.note("probe_chance", seen.chance)
    found.note("probe_pictures", seen.pictures)


def _attributes(
    found: Findings, sets: _Features, painted: np.ndarray, train: corpora.Pictures, test: corpora.Pictures
) -> None:
    """Of a corpus whose every picture is known to the last stroke: the brush's."""
    if len(test) < _ENOUGH or not all((p.frame["caption_origin"] == "truth").all() for p in (train, test)):
        return
    rows = [p.frame.to_dict("records") for p in (train, test)]
    found.followed = following.follow(sets.train, rows[0], sets.real, sets.painted, rows[1])
    for f in found.followed:
        name = f.name.replace(" ", "_")
        found.note(f"follow_{name}", f.rate)
        found.note(f"follow_{name}_chance", f.chance)
        found.note(f"follow_{name}_accuracy", f.accuracy)
    found.note("white_space_correlation", following.white_space(painted, test.images))


def _copying(
    found: Findings, sets: _Features, painted: np.ndarray, train: corpora.Pictures, real_NHWC: np.ndarray,
    asked: list[str],
) -> None:  # fmt: skip
    ours = memorisation.nearest(sets.painted.pooled, painted, sets.train.pooled, train.images)
    real = memorisation.nearest(sets.real.pooled, real_NHWC, sets.train.pooled, train.images)
    near = memorisation.suspects(ours.distance, real.distance)
    for name, value in (
        ("nearest_neighbour", ours.distance.mean()), ("nearest_neighbour_real", real.distance.mean()),
        ("nearest_neighbour_pixels", ours.pixels.mean()), ("nearest_neighbour_pixels_real", real.pixels.mean()),
        ("suspects", len(near) / len(painted)),
    ):  # fmt: skip
        found.note(name, float(value))
    closest = np.argsort(ours.distance, kind="stable")[:_SHOWN_NEIGHBOURS]
    found.neighbours = [
        Neighbour(painted=painted[i], training=train.images[ours.index[i]], prompt=asked[i],
                  distance=float(ours.distance[i])) for i in closest
    ]  # fmt: skip


def _about(found: Findings, config: Evaluate, clip: Path, size: int) -> dict[str, str]:
    m, d = found.metrics, config.decoding
    skill, trained = "", clip / "metrics.json"
    if trained.is_file() and "judge_top1" in (of := files.read_json(trained)):
        skill = (f"; on real validation pictures it finds the caption among 64 in {100 * of['judge_top1']:.0f} % "
                 f"of cases ({100 * of['top1_chance']:.0f} % by chance)")  # fmt: skip
    return {
        "Pictures": f"{m['prompts']:.0f} held-out prompts of the test split, {m['pictures'] / m['prompts']:.0f} "
                    f"pictures of {size} × {size} px each",
        "Seeds": f"evaluation {config.seed}; picture i is painted from seed {config.seed} + i",
        "Decoding": f"{d.global_steps} global and {d.detail_steps} detail steps, guidance {d.guidance:g}, "
                    f"temperature {d.temperature:g}",
        "Features": f"{found.extractor}. This is no FID or KID, which use Inception. The tokenizer's perceptual loss "
                    f"reads earlier layers of {NAME} unless configured otherwise, which may flatter it",
        "Floor": f"{m['prompts']:.0f} real held-out pictures against the same {m['reference']:.0f} training pictures",
        "Judge": f"an open_clip model that is never used for guidance, trained on this corpus's train split{skill}",
    }  # fmt: skip


def _write(out: Path, found: Findings, config: Evaluate) -> None:
    assert found.samples is not None and found.originals is not None and found.reconstructions is not None
    d = config.decoding
    steps, seeds = d.global_steps + d.detail_steps, f"seeds {found.seeds[0]} to {found.seeds[-1]}"
    foot = f"{seeds}, {steps} steps, guidance {d.guidance:g}"
    side = 192 if len(found.samples) > 1 else 384
    samples = sheet([found.samples], found.prompts, columns=4, side=side, foot=foot)
    pairs = sheet([found.originals, found.reconstructions], [], columns=4, side=side, labels=("original", "again"))
    files.write_bytes(out / "samples.png", corpora.encode(samples))
    files.write_bytes(out / "reconstructions.png", corpora.encode(pairs))
    files.write_text(out / "report.html", html(found))
    files.write_text(out / "report.md", markdown(found))
