"""Ink on a ground: a canvas of optical density, and the hand that lays strokes and washes on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.scene import Scene

Array = np.ndarray
RGB = tuple[int, int, int]

INK: RGB = (26, 26, 31)
ROUGE: RGB = (196, 48, 40)
PINK: RGB = (222, 118, 128)
OCHRE: RGB = (196, 142, 92)
AZURE: RGB = (62, 112, 148)
MALACHITE: RGB = (88, 142, 112)
LEAF: RGB = (84, 122, 72)
CINNABAR: RGB = (188, 36, 30)

_TILE = 640


@lru_cache(maxsize=8)
def texture(name: str) -> Array:
    """(640, 640) float32 constant textures, 0..1: `cloud` (soft), `grain` (fine), `streak<degrees>`."""
    rng = np.random.default_rng(20240229)
    out: Array
    if name.startswith("streak"):
        raw = rng.random((2 * _TILE, 2 * _TILE)).astype(np.float32)
        hairs = cv2.GaussianBlur(raw, (0, 0), sigmaX=9, sigmaY=0.8)
        about = cv2.getRotationMatrix2D((_TILE, _TILE), float(name[6:]), 1.0)
        out = cv2.warpAffine(hairs, about, (2 * _TILE, 2 * _TILE))[_TILE // 2 : -_TILE // 2, _TILE // 2 : -_TILE // 2]
    elif name == "grain":
        out = cv2.GaussianBlur(rng.random((_TILE, _TILE)).astype(np.float32), (0, 0), 0.8)
    else:
        out = np.zeros((_TILE, _TILE), np.float32)
        for cells, amp in ((6, 1.0), (14, 0.6), (40, 0.35), (110, 0.2)):
            small = rng.random((cells, cells)).astype(np.float32)
            out = out + amp * cv2.resize(small, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    low, high = np.quantile(out, [0.01, 0.99])
    return np.clip((out - low) / (high - low), 0, 1).astype(np.float32)


def crop(name: str, px: int, rng: np.random.Generator, zoom: float = 1.0) -> Array:
    """(px, px) piece of a texture at a random place, the same at every resolution."""
    side = int(256 / zoom)
    y, x = (int(v) for v in rng.integers(0, _TILE - side, 2))
    piece = texture(name)[y : y + side, x : x + side]
    return cv2.resize(piece, (px, px), interpolation=cv2.INTER_LINEAR) if side != px else piece


def absorbance(colour: RGB) -> Array:
    """(3,) natural-log absorbance of a pigment at full density."""
    return -np.log(np.maximum(np.asarray(colour, np.float32), 4) / 255.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How the hand works, derived from a scene."""

    category: str
    technique: str
    palette: str
    season: str
    dark: float  # overall ink strength
    line: float  # relative line width
    wash: float  # relative wash strength
    wet: float  # edge bleeding, fraction of the picture
    dry: float  # flying white, 0..1

    @property
    def freehand(self) -> bool:
        return self.category == "freehand"

    @property
    def sketch(self) -> bool:
        """Line only: a drawn sketch, or any other category told to work in outline."""
        return self.category == "sketch" or self.technique == "outline"

    @property
    def coloured(self) -> bool:
        return self.palette == "colour"


def style_of(scene: Scene) -> Style:
    tech = scene.technique
    line = {"freehand": 1.3, "fine-brush": 0.8, "sketch": 0.95}[scene.category]
    line *= {"coarse brush": 1.35, "fine brush": 0.8, "thick ink": 1.15, "flying white": 1.15}.get(tech, 1.0)
    wash = {"freehand": 1.0, "fine-brush": 0.8, "sketch": 0.14}[scene.category]
    wash *= {"splashed ink": 1.35, "layered wash": 1.2, "outline": 0.3, "dry brush": 0.75}.get(tech, 1.0)
    wet = {"wet brush": 0.0055, "splashed ink": 0.007, "broken ink": 0.0045, "boneless": 0.0025}.get(tech, 0.0)
    return Style(
        category=scene.category,
        technique=tech,
        palette=scene.palette,
        season=scene.season,
        dark={"thick": 1.2, "medium": 0.95, "pale": 0.66}[scene.ink],
        line=line,
        wash=wash,
        wet=wet,
        dry={"dry brush": 0.55, "flying white": 0.75}.get(tech, 0.0),
    )


class Canvas:
    """Optical density of everything laid so far, (px, px, 3) float32."""

    def __init__(self, px: int) -> None:
        self.px = px
        self.density = np.zeros((px, px, 3), np.float32)

    def develop(self, ground: Array) -> Array:
        """The ground (px, px, 3), 0..255, seen through the ink; float32."""
        return ground * np.exp(-self.density)


class Hand:
    """Lays masks on a canvas in one style with one random stream."""

    def __init__(self, canvas: Canvas, style: Style, rng: np.random.Generator) -> None:
        self.canvas = canvas
        self.style = style
        self.rng = rng

    def mask(self) -> Array:
        """A blank (px, px) uint8 layer."""
        return np.zeros((self.canvas.px, self.canvas.px), np.uint8)

    def ink(
        self,
        mask: Array,
        strength: float = 1.0,
        colour: RGB = INK,
        *,
        soft: float | None = None,
        dry: float | None = None,
        grain: float = 0.25,
    ) -> None:
        """Lay a mask (uint8, or float 0..1) in a pigment. `soft` is the bleeding radius in picture fractions."""
        soft = self.style.wet if soft is None else soft
        dry = self.style.dry if dry is None else dry
        px = self.canvas.px
        angle = ("streak20", "streak70", "streak115", "streak160")[int(self.rng.integers(4))]
        offsets = self.rng.integers(0, _TILE - 256, 2)  # drawn even for an empty mask: the stream must not shift
        as_bytes = mask if mask.dtype == np.uint8 else (mask * 255).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(as_bytes)
        if w == 0:
            return
        pad = int(soft * px * 3) + 1
        ya, yb, xa, xb = max(y - pad, 0), min(y + h + pad, px), max(x - pad, 0), min(x + w + pad, px)
        layer = mask[ya:yb, xa:xb].astype(np.float32)
        if mask.dtype == np.uint8:
            layer *= 1 / 255.0
        if soft > 0:
            blurred = cv2.GaussianBlur(layer, (0, 0), max(soft * px, 0.3))
            layer = 0.45 * layer + 0.7 * blurred  # a bled edge around a stroke that still has a core
        if grain > 0:
            layer *= 1 - grain + 2 * grain * self._piece("cloud", offsets, ya, yb, xa, xb)
        if dry > 0:
            streak = self._piece(angle, offsets, ya, yb, xa, xb)
            cloud = self._piece("cloud", offsets[::-1], ya, yb, xa, xb)
            layer *= np.clip((0.7 * streak + 0.45 * cloud - 0.62 * dry) * 4.5 + 0.5, 0.1, 1.0)
        strength = strength * (self.style.dark if colour is INK else 0.5 + 0.5 * self.style.dark)
        area = self.canvas.density[ya:yb, xa:xb]
        area += layer[..., None] * (strength * absorbance(colour))

    def _piece(self, name: str, offsets: Array, ya: int, yb: int, xa: int, xb: int) -> Array:
        oy, ox = int(offsets[0]), int(offsets[1])
        px = self.canvas.px
        full = texture(name)
        if px == 256:
            return full[oy + ya : oy + yb, ox + xa : ox + xb]
        piece = cv2.resize(full[oy : oy + 256, ox : ox + 256], (px, px), interpolation=cv2.INTER_LINEAR)
        return piece[ya:yb, xa:xb]

    def hide(self, mask: Array, amount: float = 1.0) -> None:
        """Take away what lies under a mask: nearer things are painted on reserved ground."""
        x, y, w, h = cv2.boundingRect(mask if mask.dtype == np.uint8 else (mask * 255).astype(np.uint8))
        if w == 0:
            return
        part = mask[y : y + h, x : x + w].astype(np.float32)
        if mask.dtype == np.uint8:
            part *= 1 / 255.0
        self.canvas.density[y : y + h, x : x + w] *= (1 - amount * part)[..., None]

    def solid(self, polygon: Array, tone: float, colour: RGB = INK, edge: float = 0.0, edge_tone: float = 0.9) -> None:
        """An opaque shape: hides what is behind, washed with `tone`, outlined `edge` wide if that is above 0."""
        m = self.mask()
        sk.fill(m, polygon)
        self.hide(m)
        if tone > 0:
            wash = tone * self.style.wash
            self.ink(self.pooled(m), wash, colour, dry=self.style.dry * 0.7, grain=0.4 if self.style.freehand else 0.2)
        if edge > 0:
            self.contour(polygon, edge, edge_tone)

    def pooled(self, mask: Array) -> Array:
        """A wash (px, px) 0..1 whose pigment has run to the edge and to the lower side before it dried."""
        x, y, w, h = cv2.boundingRect(mask)
        out = np.zeros(mask.shape, np.float32)
        if w == 0:
            return out
        part = mask[y : y + h, x : x + w].astype(np.float32) * (1 / 255.0)
        inner = cv2.GaussianBlur(part, (0, 0), max(0.018 * self.canvas.px, 1.0), borderType=cv2.BORDER_CONSTANT)
        slope = np.linspace(0.8, 1.15, h, dtype=np.float32)[:, None]
        out[y : y + h, x : x + w] = part * np.clip(1.22 - 0.5 * inner, 0, 1.1) * slope * 0.88
        return out

    def contour(self, polygon: Any, width: float, tone: float = 0.9, colour: RGB = INK, closed: bool = True) -> None:
        """A brush line along a polygon: iron wire in fine-brush, swelling, broken and uneven in freehand."""
        st = self.style
        free = st.freehand
        paths = sk.pieces(polygon, self.rng, closed, 0.0022 if free else 0.0008)
        if free:
            keep = self.rng.random(len(paths)) > 0.08  # now and then the brush leaves the paper
            paths = paths[keep] if keep.sum() > 2 else paths
        spread = (0.5, 1.25) if free else (0.75, 1.0)
        w = 0.92 * width * st.line * self.rng.uniform(*spread, len(paths))
        m = self.mask()
        kind = "press" if free else "line"
        sk.strokes(m, paths, w, self.rng.uniform(0.7 if free else 0.9, 1.0, len(paths)), kind, self.rng)
        self.ink(m, tone, colour, soft=st.wet * 0.5, grain=0.3 if free else 0.12, dry=st.dry * 0.7)


def local(box: tuple[float, float, float, float], points: Any, flip: bool = False) -> Array:
    """Points in box coordinates (0..1 each way, y downwards) as picture fractions; `flip` mirrors left-right."""
    p = np.array(points, float)
    x0, y0, x1, y1 = box
    u = 1 - p[..., 0] if flip else p[..., 0]
    return np.stack([x0 + u * (x1 - x0), y0 + p[..., 1] * (y1 - y0)], -1)
