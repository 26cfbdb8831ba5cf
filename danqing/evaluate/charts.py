"""Line charts and histograms as inline SVG: sharp at any size, no script, nothing to load."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 320, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 26
COLOURS = ("cinnabar", "blue-green", "ink", "gamboge", "indigo", "ochre", "rouge", "malachite")
"""Of lines, by number; style.css has their values as .line0, .line1…"""
Series = Sequence[tuple[float, float]]


def read_curves(path: Path) -> dict[str, list[tuple[float, float]]]:
    """curves.csv (step, name…) → name → [(step, value)]; empty cells are skipped, no file gives no curves."""
    if not path.is_file():
        return {}
    curves: dict[str, list[tuple[float, float]]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            step = float(row.pop("step"))
            for name, cell in row.items():
                if cell and math.isfinite(value := float(cell)):
                    curves.setdefault(name, []).append((step, value))
    return curves


def short(value: float) -> str:
    """Three significant digits, without the noise of an exponent where none is needed."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.1g}" if abs(value) >= 1e-4 and abs(value) < 1 else f"{value:.1e}"


def _ticks(low: float, high: float, count: int = 3) -> list[float]:
    """Round numbers inside [low, high]."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step = next(step * m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= count)
    first = math.ceil(low / step) * step
    return [round(first + i * step, 12) for i in range(int((high - first) / step + 1e-9) + 1)]


class _Axes:
    """Maps data to the drawing and draws the quiet parts."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x0, self.x1 = x if x[1] > x[0] else (x[0] - 0.5, x[0] + 0.5)
        pad = (y[1] - y[0]) * 0.06 or abs(y[0]) * 0.1 or 0.5
        self.y0, self.y1 = y[0] - pad, y[1] + pad

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x0) / (self.x1 - self.x0) * (WIDTH - _LEFT - _RIGHT)
        up = (y - self.y0) / (self.y1 - self.y0) * (HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across, 1), round(HEIGHT - _BOTTOM - up, 1)

    def frame(self) -> str:
        parts = []
        for tick in _ticks(self.y0, self.y1):
            _, y = self.at(self.x0, tick)
            parts.append(f'<line class="rule" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 3.5}" text-anchor="end">{short(tick)}</text>')
        for tick in _ticks(self.x0, self.x1, 4):
            x, _ = self.at(tick, self.y0)
            parts.append(f'<text class="tick" x="{x}" y="{HEIGHT - 8}" text-anchor="middle">{short(tick)}</text>')
        return "".join(parts)


def _svg(title: str, body: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def lines(title: str, series: Mapping[str, Series], colours: Sequence[int] = ()) -> str:
    """One chart; the series take `colours` (numbers of COLOURS), or them in order. At least one point is needed."""
    points = [p for values in series.values() for p in values]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    axes = _Axes((min(xs), max(xs)), (min(ys), max(ys)))
    parts = [axes.frame()]
    for number, values in zip(colours or range(len(series)), series.values(), strict=True):
        kind = f"line line{min(number, len(COLOURS) - 1)}"
        places = [axes.at(x, y) for x, y in values]
        if len(places) == 1:
            parts.append(f'<circle class="{kind}" cx="{places[0][0]}" cy="{places[0][1]}" r="2"/>')
        else:
            path = " ".join(f"{x},{y}" for x, y in places)
            parts.append(f'<polyline class="{kind}" points="{path}"/>')
    return _svg(title, "".join(parts))


def histogram(title: str, values: np.ndarray, mark: float, bins: int = 36) -> str:
    """Where `mark` (cinnabar) stands in the distribution of `values` (ink)."""
    counts, edges = np.histogram(values, bins=bins)
    low, high = min(edges[0], mark), max(edges[-1], mark)
    room = (high - low) * 0.04 or 1e-6
    axes = _Axes((low - room, high + room), (0.0, float(counts.max())))
    axes.y0 = 0.0
    parts = []
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        x0, y = axes.at(left, count)
        x1, base = axes.at(right, 0.0)
        wide = max(x1 - x0 - 0.6, 0.4)
        parts.append(f'<rect class="bar" x="{x0}" y="{y}" width="{wide:.1f}" height="{base - y:.1f}"/>')
    x, top = axes.at(mark, axes.y1)
    parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{top}" y2="{HEIGHT - _BOTTOM}"/>')
    for tick in _ticks(axes.x0, axes.x1, 4):
        place, _ = axes.at(tick, 0.0)
        parts.append(f'<text class="tick" x="{place}" y="{HEIGHT - 8}" text-anchor="middle">{short(tick)}</text>')
    return _svg(title, "".join(parts))
