"""Whether what is asked for and painted still looks like the training set.

Both sides are counts (`danqing.observe`). Terms of the taxonomy are compared by the Jensen-Shannon distance (base 2,
0 to 1), lengths and measures by Kolmogorov and Smirnov's D over 64 bins; the population stability index is told beside
either. A value drifts if it is both large (`threshold`) and more than chance: `floor` is what two samples of these very
sizes, drawn from one distribution, exceed in one of a hundred reports (over all attributes together).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from danqing import files, observe
from danqing.errors import DataError
from danqing.observe import PICTURE, PROMPT, TERMS, TOLD, Counts
from danqing.served import Served
from danqing.values import at_least, require

VERSION = 1
JUDGED = (*TERMS, *PROMPT, *PICTURE)
DRAWS = 4000
STAY = 0.8
"""A drift ends when its value falls below this share of the threshold: one that sways about it is one drift."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftConfig:
    threshold: float = 0.2
    """Jensen-Shannon distance and D above which there is drift; about where the stability index is 0.2."""
    alpha: float = 0.01
    """Share of reports that chance alone may take across the floor, over all attributes together."""
    min_prompts: int = 200
    """Prompts (and as many pictures) below which nothing is said."""
    ignore: tuple[str, ...] = ("length", "gradient")
    """Attributes that are told but raise no alarm. People type less than a caption says, and a painted picture has
    softer lines than a real one (benchmarks/results/drift.md): these two would always."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, "drift", min_prompts=20, seed=0)
        require(0 <= self.threshold < 1, f"drift.threshold is {self.threshold}: at least 0 and below 1")
        require(1e-3 <= self.alpha < 0.5, f"drift.alpha is {self.alpha}: a share between 0.001 and 0.5")
        wrong = ", ".join(set(self.ignore) - set(JUDGED))
        require(not wrong, f"drift.ignore has {wrong}: the attributes are {', '.join(JUDGED)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """One comparison. Values are None where there is too little to compare."""

    side: str
    """prompt or picture."""
    measure: str
    """js or ks."""
    value: float | None
    floor: float | None
    psi: float | None
    threshold: float
    served: int
    """Terms named, prompts or pictures that the value rests on."""
    reference: int
    drifted: bool
    means: tuple[float, float] | None = None
    """Of the training set and of what was served, for lengths and measures."""
    shares: Mapping[str, tuple[float, float]] | None = None
    """Term → its shares there and here, for terms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """drift.json. The retrain trigger reads `drifted`, `reasons` and `since`."""

    drifted: bool
    reasons: tuple[str, ...]
    since: str | None
    """The last day of the report that found this drift first; the same in each report for as long as it lasts."""
    window: Mapping[str, str]
    prompts: int
    pictures: int
    reference: Mapping[str, int]
    attributes: Mapping[str, Attribute]
    told: Mapping[str, Mapping[str, int]]
    broken_lines: int
    made: str
    version: int = VERSION


def reference(corpus: Path) -> Counts:
    """What the training split of an annotated corpus asks for and shows; or what a file of counts says it does."""
    corpus = Path(corpus)
    if corpus.is_file():
        return Counts.from_dict(files.read_json(corpus))
    from danqing.data import corpus as corpora

    found = Counts()
    for record in corpora.read(corpus, ["split", "caption_en", "image"]):
        if record["split"] == "train":
            found.add_prompt(record["caption_en"])
            found.add_picture(corpora.decode(record["image"]))
    if not found.prompts:
        raise DataError(f"{corpus}: no training picture; was the corpus annotated?")
    return found


def compare(known: Counts, served: Served, config: DriftConfig, before: Mapping[str, Any] | None = None) -> Drift:
    """known: of the training set. before: the last report, so that a drift that goes on keeps its `since`."""
    was = {name for name, a in (before or {}).get("attributes", {}).items() if a.get("drifted")}
    judged = [name for name in JUDGED if name not in config.ignore]
    rng = np.random.default_rng(config.seed)
    found = {name: _attribute(name, known, served.counts, config, len(judged), name in was, rng) for name in JUDGED}
    alarms = [name for name in judged if found[name].drifted]
    reasons = tuple(_reason(name, found[name]) for name in alarms)
    lasting = bool(before and before.get("drifted") and before.get("since"))
    since = (str((before or {})["since"]) if lasting else served.until) if alarms else None
    told = {name: dict(served.counts.values.get(name, {})) for name in TOLD}
    return Drift(
        drifted=bool(alarms), reasons=reasons, since=since, window={"since": served.since, "until": served.until},
        prompts=served.counts.prompts, pictures=served.counts.pictures,
        reference={"prompts": known.prompts, "pictures": known.pictures}, attributes=found, told=told,
        broken_lines=served.broken, made=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _attribute(
    name: str, known: Counts, served: Counts, config: DriftConfig, judged: int, was: bool, rng: np.random.Generator
) -> Attribute:
    side, measure = "picture" if name in PICTURE else "prompt", "js" if name in TERMS else "ks"
    values, a, b = _aligned(name, known, served)
    enough = (served.pictures if side == "picture" else served.prompts) >= config.min_prompts
    # Terms that hardly anybody names are no distribution: what is compared are at least so many.
    usable = enough and min(a.sum(), b.sum()) >= (config.min_prompts / 4 if name in TERMS else 20)
    value = floor = psi = None
    if usable:
        value = float(distance(measure, a[None], b[None])[0])
        floor = _floor(measure, a, b, config.alpha / max(1, judged), rng)
        psi = stability(*((a, b) if name in TERMS else coarse(a, b)))
    limit = config.threshold * (STAY if was else 1)
    return Attribute(
        side=side, measure=measure, value=_round(value), floor=_round(floor), psi=_round(psi),
        threshold=config.threshold, served=int(b.sum()), reference=int(a.sum()),
        drifted=bool(name not in config.ignore and value is not None and floor is not None
                     and value > max(limit, floor)),
        means=None if name in TERMS or not min(a.sum(), b.sum()) else (_mean(name, a), _mean(name, b)),
        shares=_shares(values, a, b) if name in TERMS else None,
    )  # fmt: skip


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _aligned(name: str, known: Counts, served: Counts) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(values, counts in training, counts in serving), (V,) each, bins in order."""
    one, two = known.values.get(name, Counter()), served.values.get(name, Counter())
    values = sorted(set(one) | set(two)) if name in TERMS else [str(k) for k in range(observe.BINS)]
    a, b = (np.array([c.get(v, 0) for v in values], np.int64) for c in (one, two))
    return values, a, b


def _mean(name: str, counts: np.ndarray) -> float:
    """The mean, from the bins: words of a length, shares from 0 to 1 of all others."""
    scale, shift = (1.0, 0.0) if name == "length" else (1 / observe.BINS, 0.5)
    return round(float((counts * (np.arange(len(counts)) + shift)).sum() / counts.sum() * scale), 4)


def _shares(values: list[str], a: np.ndarray, b: np.ndarray) -> dict[str, tuple[float, float]]:
    p, q = (counts / max(1, counts.sum()) for counts in (a, b))
    return {v: (round(float(x), 4), round(float(y), 4)) for v, x, y in zip(values, p, q, strict=True)}


def distance(measure: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of counts (D, V) and (D, V), each row with something in it → (D,), 0 to 1."""
    p, q = (c / c.sum(1, keepdims=True) for c in (a, b))
    if measure == "ks":
        return np.asarray(np.abs(np.cumsum(p, 1) - np.cumsum(q, 1)).max(1))
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = sum(np.where(x > 0, x * np.log2(x / middle), 0).sum(1) for x in (p, q)) / 2
    return np.sqrt(np.clip(nats, 0, 1))


def _floor(measure: str, a: np.ndarray, b: np.ndarray, alpha: float, rng: np.random.Generator) -> float:
    """What two samples of these sizes from one distribution (both together) exceed with probability `alpha`."""
    both = (a + b) / (a.sum() + b.sum())
    one, two = (rng.multinomial(int(c.sum()), both, size=DRAWS) for c in (a, b))
    return float(np.quantile(distance(measure, one, two), 1 - alpha))


def coarse(a: np.ndarray, b: np.ndarray, least: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring bins joined until each holds a tenth of the training set, as the stability index wants them."""
    step = max(1.0, least * float(a.sum()))
    group = np.minimum((np.cumsum(a) - a / 2) // step, int(1 / least) - 1).astype(int)
    return np.bincount(group, a), np.bincount(group, b)


def stability(a: np.ndarray, b: np.ndarray) -> float:
    """The population stability index of counts (V,): sum of (q - p) ln(q / p), half a count added to each."""
    p, q = ((c + 0.5) / (c.sum() + 0.5 * len(c)) for c in (a, b))
    return float(((q - p) * np.log(q / p)).sum())


def _reason(name: str, a: Attribute) -> str:
    text = f"{name} of {a.side}s: {'JS distance' if a.measure == 'js' else 'D'} {a.value:.2f}, floor {a.floor:.2f}"
    if a.means is not None:
        return f"{text}, mean {a.means[0]:.3g} in training, {a.means[1]:.3g} served"
    shares = a.shares or {}
    most = max(shares, key=lambda term: abs(shares[term][1] - shares[term][0]))
    return f"{text}, most of all {most}: {shares[most][0]:.0%} in training, {shares[most][1]:.0%} served"


def as_dict(drift: Drift) -> dict[str, Any]:
    return asdict(drift)


def scores(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(attribute, value) of a drift.json, NaN where too little was served."""
    for name in JUDGED:
        value = (report.get("attributes") or {}).get(name, {}).get("value")
        yield name, float("nan") if value is None else float(value)
