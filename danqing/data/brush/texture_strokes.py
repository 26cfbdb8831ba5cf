"""Cun, the texture strokes that model stone, and the moss dots set along a ridge."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import Hand

# technique: (number, length, width, stroke kind, tone), lengths in picture fractions
_CUN: dict[str, tuple[int, float, float, str, float]] = {
    "hemp-fibre cun": (95, 0.11, 0.0065, "taper", 0.7),
    "axe-cut cun": (70, 0.05, 0.022, "wedge", 0.75),
    "raindrop cun": (220, 0.014, 0.009, "line", 0.75),
    "dotting": (30, 0.07, 0.006, "taper", 0.5),
    "dry brush": (50, 0.09, 0.014, "taper", 0.6),
    "flying white": (36, 0.11, 0.024, "taper", 0.7),
    "splashed ink": (12, 0.1, 0.06, "wedge", 0.6),
    "broken ink": (26, 0.07, 0.03, "wedge", 0.7),
    "boneless": (0, 0.0, 0.0, "line", 0.0),
    "coarse brush": (26, 0.1, 0.02, "taper", 0.7),
    "outline": (16, 0.1, 0.007, "taper", 0.7),
}


def cun(hand: Hand, ridge: np.ndarray, fade: np.ndarray, near: float) -> None:
    """Texture strokes on a slope: from under the ridge (n,), downhill, kept where `fade` (px, px) is inked."""
    rng, st = hand.rng, hand.style
    number, length, width, kind, tone = _CUN.get(st.technique, (34, 0.09, 0.0075, "taper", 0.55))
    if number == 0:
        return
    n = len(ridge)
    i = rng.integers(2, n - 2, number * 2)
    # Strokes gather where the mountain is high: on the low flanks there is only mist.
    i = i[np.argsort(ridge[i] + rng.uniform(0, 0.25, len(i)))][:number]
    slope = (ridge[np.minimum(i + 3, n - 1)] - ridge[np.maximum(i - 3, 0)]) / (6 / (n - 1))
    x = i / (n - 1)
    a = np.stack([x, ridge[i] + rng.uniform(0.005, 0.25, number) ** 1.2], 1)
    lean = np.tanh(slope) * 0.9 + rng.normal(0, 0.12, number)
    if kind == "wedge":
        lean = np.abs(lean) * 0.5 + 0.5  # axe cuts all fall one way
    d = np.stack([lean, np.full(number, 1.0)], 1)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    b = a + d * (length * rng.uniform(0.5, 1.3, number))[:, None]
    m = hand.mask()
    value = rng.uniform(0.45, 1.0, number)
    sk.strokes(m, sk.arcs(a, b, rng.uniform(-0.12, 0.12, number), 7), width * st.line, value, kind, rng)
    keep = np.clip(fade * 1.6, 0, 1)
    hand.ink(m.astype(np.float32) / 255 * keep, tone * (0.5 + 0.5 * near), soft=st.wet * 0.6)


def moss(hand: Hand, ridge: np.ndarray, alive: np.ndarray, near: float) -> None:
    """Dots of dark ink along the ridge, thick when the technique is dotting."""
    rng, st = hand.rng, hand.style
    where = np.flatnonzero(alive)
    if len(where) == 0 or st.technique in ("boneless", "outline"):
        return
    number = 60 if st.technique == "dotting" else 14
    i = rng.choice(where, number)
    centre = np.stack([i / (len(ridge) - 1), ridge[i]], 1) + rng.normal(0, 0.006, (number, 2)) + [0, 0.004]
    if st.technique == "dotting":
        centre[:, 1] += np.abs(rng.normal(0, 0.05, number))
    m = hand.mask()
    sk.dots(m, centre, rng.uniform(0.003, 0.0075, number) * (0.6 + 0.4 * near), rng.uniform(0.6, 1.0, number))
    hand.ink(m, 0.8 * (0.5 + 0.5 * near), dry=0)


def folds(hand: Hand, ridge: np.ndarray, fade: np.ndarray, near: float) -> None:
    """Spurs: lines that come down from the summits, each with shade on its lee side."""
    rng, st = hand.rng, hand.style
    n = len(ridge)
    high = [i for i in range(3, n - 3) if ridge[i] == ridge[i - 3 : i + 4].min()]
    high = sorted(high, key=lambda i: ridge[i])[:5]
    if not high:
        return
    line, shade = hand.mask(), hand.mask()
    for i in high:
        steps = np.arange(6)
        reach = rng.uniform(0.09, 0.2) * (0.6 + 0.4 * near)
        drift = rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.5)
        x = i / (n - 1) + reach * drift * steps / 5 + rng.normal(0, 0.008, 6)
        y = ridge[i] + reach * steps / 5
        path = sk.curve(np.stack([x, y], 1), 16)
        sk.strokes(line, path, 0.007 * st.line, 1.0, "taper", rng)
        sk.strokes(shade, path + [0.018 * np.sign(drift), 0.012], 0.06, 0.9, "line", rng)
    keep = np.clip(fade * 1.5, 0, 1)
    if not st.sketch:
        hand.ink(shade.astype(np.float32) / 255 * keep, 0.42 * st.wash, soft=0.014, dry=0, grain=0.5)
    if st.technique not in ("boneless", "splashed ink"):
        hand.ink(line.astype(np.float32) / 255 * keep, 0.4 + 0.3 * near)


def copse(hand: Hand, ridge: np.ndarray, lowest: float) -> None:
    """A few tiny trees standing on the nearest ridge."""
    rng, st = hand.rng, hand.style
    n = len(ridge)
    where = np.flatnonzero(ridge < lowest)
    if len(where) < 8:
        return
    start = int(rng.integers(0, len(where) - 6))
    i = where[start : start + int(rng.integers(6, 16))]
    i = rng.choice(i, min(9, len(i)))
    foot = np.stack([i / (n - 1), ridge[i] + 0.006], 1)
    tall = rng.uniform(0.03, 0.06, len(i))
    tip = foot + np.stack([rng.normal(0, 0.006, len(i)), -tall], 1)
    m = hand.mask()
    sk.strokes(m, sk.arcs(foot, tip, rng.uniform(-0.1, 0.1, len(i)), 5), 0.005 * st.line, 1.0, "taper")
    crown = np.repeat(tip, 6, 0) + rng.normal(0, 1, (6 * len(i), 2)) * [0.009, 0.011]
    if not st.sketch:
        sk.dots(m, crown, rng.uniform(0.003, 0.007, len(crown)), rng.uniform(0.6, 1.0, len(crown)))
    hand.ink(m, 0.85, soft=st.wet * 0.4, dry=0)
