"""What a technique adds to any subject: splashes and washes beneath it, broken ink and dots upon it."""

from __future__ import annotations

import cv2
import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import Hand
from danqing.data.brush.scene import Element


def beneath(hand: Hand, element: Element) -> None:
    """Laid just before the main element."""
    rng, st = hand.rng, hand.style
    x0, y0, x1, y1 = element.box
    w, h = x1 - x0, y1 - y0
    if st.sketch or element.kind == "mountain":
        return
    if st.technique == "splashed ink":
        m = hand.mask()
        for _ in range(4):
            c = rng.uniform([x0 + 0.15 * w, y0 + 0.2 * h], [x1 - 0.15 * w, y1 - 0.1 * h])
            r = rng.uniform(0.05, 0.13)
            sk.fill(m, sk.blob(c[0], c[1], r * 1.3, r, rng, 0.3), rng.uniform(0.4, 1.0))
        hand.ink(m, 0.16 if st.coloured else 0.3, soft=0.012, dry=0, grain=0.8)
        drops = hand.mask()
        at = rng.uniform([x0, y0], [x1, y1], (14, 2))
        sk.dots(drops, at, rng.uniform(0.002, 0.007, 14), rng.uniform(0.5, 1.0, 14))
        hand.ink(drops, 0.7, soft=0.001, dry=0)
    elif st.technique == "layered wash":
        for scale, tone in ((1.0, 0.1), (0.75, 0.1), (0.5, 0.08)):  # each coat laid inside the dried one before
            m = hand.mask()
            cx, cy = (x0 + x1) / 2 + rng.normal(0, 0.03), (y0 + y1) / 2 + rng.normal(0, 0.03)
            sk.fill(m, sk.blob(cx, cy, 0.55 * w * scale, 0.5 * h * scale, rng, 0.15))
            coat = cv2.GaussianBlur(m, (0, 0), 0.035 * hand.canvas.px)
            hand.ink(coat, tone * 1.2, (104, 106, 112), soft=0, dry=0, grain=0.6)


def upon(hand: Hand, element: Element) -> None:
    """Laid just after the main element, where it has left ink."""
    rng, st = hand.rng, hand.style
    number = {"dotting": 46, "broken ink": 12}.get(st.technique)
    if number is None or element.kind in ("mountain", "figure", "bird"):  # mountains have moss; faces stay clean
        return
    px = hand.canvas.px
    x0, y0, x1, y1 = element.box
    tries = rng.uniform([x0, y0], [x1, y1], (number * 12, 2))
    i = (np.clip(tries, 0, 0.999) * px).astype(int)
    inked = tries[hand.canvas.density[i[:, 1], i[:, 0]].mean(1) > 0.45][:number]
    m = hand.mask()
    if st.technique == "dotting":
        at = inked + rng.normal(0, 0.006, inked.shape)
        sk.dots(m, at, rng.uniform(0.004, 0.0085, len(at)), rng.uniform(0.7, 1.0, len(at)))
        hand.ink(m, 0.9, soft=0, dry=0)
    else:
        for p in inked:
            r = rng.uniform(0.012, 0.03)
            sk.fill(m, sk.blob(p[0], p[1], r, 0.8 * r, rng, 0.3), rng.uniform(0.4, 1.0))
        hand.ink(m, 0.55, soft=0.009, dry=0, grain=0.6)
