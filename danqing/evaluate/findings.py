"""What an evaluation found, and how each figure must be read: its yardstick, its count, its extractor, its seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from danqing.evaluate.charts import Series, short
from danqing.evaluate.following import Followed


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """A generated picture beside the training picture that lies nearest to it."""

    painted: np.ndarray
    training: np.ndarray
    prompt: str
    distance: float


@dataclass(kw_only=True, slots=True)
class Findings:
    """Everything that the reports show. Pictures are uint8 (N, H, W, 3)."""

    metrics: dict[str, float] = field(default_factory=dict)
    omitted: dict[str, str] = field(default_factory=dict)
    """What was not measured → why."""
    about: dict[str, str] = field(default_factory=dict)
    """How it was measured: a heading → one sentence."""
    extractor: str = ""
    samples: np.ndarray | None = None
    prompts: Sequence[str] = ()
    seeds: Sequence[int] = ()
    originals: np.ndarray | None = None
    reconstructions: np.ndarray | None = None
    neighbours: Sequence[Neighbour] = ()
    null: np.ndarray | None = None
    """Mean cosines of the shuffles."""
    curves: Mapping[str, Mapping[str, Series]] = field(default_factory=dict)
    """Training → scalar → [(step, value)]."""

    followed: Sequence[Followed] = ()

    def note(self, name: str, value: float | None, why: str = "it came out as no finite number") -> None:
        """Record a figure; one that is missing or not finite is left out, with the reason."""
        if value is None or not math.isfinite(value):
            self.omitted[name] = why
        else:
            self.metrics[name] = float(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    title: str
    value: str
    beside: str
    how: str


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def sections(f: Findings) -> list[tuple[str, str, list[Row]]]:
    """(question, answer in one line, rows) for each question that has figures."""
    m = f.metrics
    return [s for s in (_following(f, m), _attributes(f, m), _likeness(f, m), _keeping(f, m), _copying(f, m)) if s[2]]


def _n(m: Mapping[str, float]) -> str:
    return f"{m.get('pictures', 0):.0f} pictures, seed {m.get('seed', 0):.0f}"


def _following(f: Findings, m: Mapping[str, float]) -> tuple[str, str, list[Row]]:
    rows, judge = [], f"judge CLIP, {_n(m)}"
    if "clip_cosine" in m:
        real = f"; {m['clip_cosine_real']:.3f} for real pictures" if "clip_cosine_real" in m else ""
        rows.append(
            Row(
                title="Cosine with its own prompt",
                value=f"{m['clip_cosine']:.3f}",
                how=judge,
                beside=f"{m['clip_cosine_shuffled']:.3f} with another's prompt{real}",
            )
        )
        ignoring = "0 where prompts are ignored"
        real = f"{ignoring}; {m['match_margin_real']:+.3f} for real pictures" if "match_margin_real" in m else ignoring
        rows.append(
            Row(
                title="Matched over shuffled",
                value=f"{m['match_margin']:+.3f}",
                beside=real,
                how=f"{judge}; effect {m['match_effect']:.2f} sd",
            )
        )
        rows.append(
            Row(
                title="p-value of that",
                value=short(m["match_p"]),
                how=f"{judge}; one-sided permutation test",
                beside=f"{m['permutations']:.0f} shuffles give {short(m['match_p_least'])} at the least",
            )
        )
        rows.append(
            Row(
                title="CLIPScore",
                value=f"{m['clip_score']:.3f}",
                how=judge,
                beside="2.5 · max(cosine, 0): the same cosines on another scale",
            )
        )
    if "probe_hit_rate" in m:
        rows.append(
            Row(
                title="Main element found",
                value=_percent(m["probe_hit_rate"]),
                beside=f"{_percent(m['probe_chance'])} by chance (prompts shuffled)",
                how=f"linear probe on {f.extractor}; {m['probe_pictures']:.0f} pictures",
            )
        )
        again = f"{_percent(m['probe_reconstruction'])} on their reconstructions" if "probe_reconstruction" in m else ""
        rows.append(
            Row(
                title="The probe itself",
                value=_percent(m["probe_accuracy"]),
                beside=again,
                how="right on real held-out pictures that it never saw",
            )
        )
    answer = ""
    if "match_p" in m:
        verdict = "beat" if m["match_p"] < 0.01 else "do not clearly beat"
        answer = f"Matched prompts {verdict} shuffled ones (p = {short(m['match_p'])})."
    if "probe_hit_rate" in m and m["probe_chance"] > 0:
        times = m["probe_hit_rate"] / m["probe_chance"]
        answer += f" The main element is found {times:.1f} times as often as chance."
    return "Does it paint what it is asked?", answer.strip(), rows


def _attributes(f: Findings, m: Mapping[str, float]) -> tuple[str, str, list[Row]]:
    rows = []
    for x in f.followed:
        sure = f"{_percent(x.accuracy)} of real pictures"
        rows.append(
            Row(
                title=x.name.capitalize(),
                value=_percent(x.rate),
                beside=f"{_percent(x.chance)} by chance; its probe is right on {sure}",
                how=f"{x.prompts} prompts that ask for it" + ("" if x.trusted else "; the probe is too weak to tell"),
            )
        )
    if rows and "white_space_correlation" in m:
        rows.append(
            Row(
                title="White space",
                value=f"{m['white_space_correlation']:+.2f}",
                beside="0 where prompts are ignored",
                how="correlation over prompts of the blank share painted and in the real picture",
            )
        )
    answer = "Each attribute is asked for only where the prompt says it." if rows else ""
    return "What of the prompt is there?", answer, rows


def _likeness(f: Findings, m: Mapping[str, float]) -> tuple[str, str, list[Row]]:
    rows = []
    how = f"{f.extractor}; {m.get('pictures', 0):.0f} against {m.get('reference', 0):.0f} training pictures"
    if "kernel_distance" in m:
        floor = f"{1e3 * m['kernel_floor']:.1f} ± {1e3 * m['kernel_floor_sd']:.1f} real against real"
        rows.append(
            Row(
                title="EfficientNet-Lite0 kernel distance × 10³",
                beside=floor,
                value=f"{1e3 * m['kernel_distance']:.1f} ± {1e3 * m['kernel_distance_sd']:.1f}",
                how=f"{how}; {m['kernel_subsets']:.0f} subsets of {m['kernel_subset_size']:.0f}, mean ± sd",
            )
        )
    if "frechet_distance" in m:
        rows.append(
            Row(
                title="EfficientNet-Lite0 Fréchet distance",
                value=f"{m['frechet_distance']:.1f}",
                how=how,
                beside=f"{m['frechet_floor']:.1f} real against real, at the same counts",
            )
        )
    if "classifier_score" in m:
        rows.append(
            Row(
                title="Inception-type score",
                value=f"{m['classifier_score']:.2f}",
                how=f"ImageNet classes by {f.extractor.partition(' (')[0]}; {m.get('pictures', 0):.0f} pictures",
                beside=f"{m['classifier_score_real']:.2f} for {m.get('prompts', 0):.0f} real pictures; "
                "it measures how surely photographs' classes are seen in paintings",
            )
        )
    answer = "Read each beside its floor: real held-out pictures against the same training pictures." if rows else ""
    return "How near are they to real pictures?", answer, rows


def _keeping(f: Findings, m: Mapping[str, float]) -> tuple[str, str, list[Row]]:
    how, rows = f"{m.get('reconstructed', 0):.0f} held-out pictures", []
    texts = {
        "psnr": ("PSNR", "{:.2f} dB", "a blur without a line can reach 25 dB: see the next rows"),
        "ssim": ("SSIM", "{:.3f}", "1 when equal"),
        "line_energy": ("Line energy", "{:.2f}", "1 is right, 0 is a blur, above 1 is invented texture"),
        "line_correlation": ("Lines in place", "{:.2f}", "cosine of the gradient fields, 1 when equal"),
        "spectrum_ratio": ("Fine spectrum", "{:.2f}", "power above half of Nyquist over the original's, 1 is right"),
    }
    for name, (title, form, beside) in texts.items():
        if name in m:
            rows.append(Row(title=title, value=form.format(m[name]), beside=beside, how=how))
    used = {name: m[f"{name}_usage"] for name in ("global", "detail") if f"{name}_usage" in m}
    if used:
        rows.append(
            Row(
                title=f"Codes in use, {' and '.join(used)}",
                value=", ".join(_percent(value) for value in used.values()),
                how=how,
                beside="of each codebook; dead codes are wasted bits",
            )
        )
    if "reconstruction_kernel_distance" in m:
        rows.append(
            Row(
                title="Reconstructions' kernel distance × 10³",
                how=f"{f.extractor}; {how}",
                value=f"{1e3 * m['reconstruction_kernel_distance']:.1f}",
                beside=f"{1e3 * m['kernel_floor']:.1f} real against real; this much the tokenizer alone costs",
            )
        )
    return "What does the tokenizer keep?", "", rows


def _copying(f: Findings, m: Mapping[str, float]) -> tuple[str, str, list[Row]]:
    if "nearest_neighbour" not in m:
        return "", "", []
    how = f"{f.extractor}, cosine distance; mean over {_n(m)}"
    rows = [
        Row(
            title="Distance to the nearest training picture",
            value=f"{m['nearest_neighbour']:.3f}",
            how=how,
            beside=f"{m['nearest_neighbour_real']:.3f} for new real pictures",
        ),
        Row(
            title="The same in pixels",
            value=f"{m['nearest_neighbour_pixels']:.1f}",
            beside=f"{m['nearest_neighbour_pixels_real']:.1f} for new real pictures",
            how="grey levels, root mean square at 32 px",
        ),
        Row(
            title="Nearer than 99 % of new real pictures",
            value=_percent(m["suspects"]),
            how=how,
            beside="1.0 % would be expected of new real pictures",
        ),
    ]
    nearer = m["nearest_neighbour"] < m["nearest_neighbour_real"]
    answer = f"On average they lie {'nearer' if nearer else 'no nearer'} to the training set than new real pictures do."
    return "Are they copies?", answer, rows
