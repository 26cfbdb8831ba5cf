"""The season's air over a landscape: a winter sky with snow, autumn's warmth, spring's green at the foot."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import LEAF, OCHRE, Hand
from danqing.data.brush.scene import Scene


def air(hand: Hand, scene: Scene) -> None:
    """Laid before anything else: a pale tint, blank toward the middle."""
    if scene.theme != "landscape" or scene.category == "sketch":
        return
    px = hand.canvas.px
    rows = np.linspace(0, 1, px, dtype=np.float32)[:, None] * np.ones((1, px), np.float32)
    wave = sk.noise1d(hand.rng, px, (3, 7))[None, :].astype(np.float32) * 0.06
    if scene.season == "winter":
        hand.ink(np.clip(1.05 - rows + wave, 0, 1) ** 1.5, 0.3, (92, 98, 110), soft=0, dry=0, grain=0.3)
    elif scene.season == "autumn":
        hand.ink(np.clip(1.25 * (rows + wave - 0.45), 0, 1), 0.32, OCHRE, soft=0, dry=0, grain=0.5)
    elif scene.season == "spring":
        hand.ink(np.clip(1.4 * (rows + wave - 0.6), 0, 1), 0.28, LEAF, soft=0, dry=0, grain=0.6)


def snow(hand: Hand, scene: Scene) -> None:
    """Laid after everything else: flakes of bare ground, in winter landscapes only."""
    if scene.theme != "landscape" or scene.season != "winter" or scene.category == "sketch":
        return
    n = 70
    m = hand.mask()
    sk.dots(m, hand.rng.random((n, 2)), hand.rng.uniform(0.003, 0.0075, n))
    hand.hide(m, 0.9)


def earth(hand: Hand, centre: float, y: float, width: float) -> None:
    """The ground a thing stands on: a pale pool, a few level dry strokes, grass and moss (picture fractions)."""
    rng, st = hand.rng, hand.style
    if not st.sketch:
        pool = hand.mask()
        sk.fill(pool, sk.blob(centre, y, width * 0.5, 0.02, rng, 0.2))
        hand.ink(pool, 0.2 * st.wash, soft=0.012, dry=0, grain=0.6)
    n = 5
    a = np.stack([centre + width * rng.uniform(-0.5, 0.1, n), y + rng.uniform(-0.008, 0.018, n)], 1)
    b = a + np.stack([width * rng.uniform(0.2, 0.45, n), rng.normal(0, 0.003, n)], 1)
    m = hand.mask()
    sk.strokes(
        m, sk.arcs(a, b, rng.uniform(-0.06, 0.06, n), 8), 0.006 * st.line, rng.uniform(0.4, 0.9, n), "press", rng
    )
    k = 12
    foot = np.stack([centre + width * rng.uniform(-0.5, 0.5, k), y + rng.uniform(0, 0.015, k)], 1)
    blade = foot + np.stack([rng.normal(0, 0.008, k), -rng.uniform(0.01, 0.028, k)], 1)
    sk.strokes(
        m, sk.arcs(foot, blade, rng.uniform(-0.2, 0.2, k), 5), 0.004 * st.line, rng.uniform(0.5, 1.0, k), "taper"
    )
    hand.ink(m, 0.6, soft=st.wet * 0.5)
