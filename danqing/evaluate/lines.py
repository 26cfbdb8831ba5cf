"""Whether the lines survive: what PSNR does not see.

An ink painting is mostly bare ground, so a blur that loses every line still scores 25 dB. Lines are where luminance
changes fast: their energy, their place and direction, and the fine half of the spectrum are compared here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from danqing.evaluate.fidelity import luminance


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Means over the pictures that have lines at all; None when none has."""

    energy: float | None
    """Gradient energy of ours over the original's: 1 is right, 0 is a blur, above 1 is invented texture."""
    correlation: float | None
    """Cosine between the two gradient fields, -1 to 1: are the lines in the right places and directions?"""
    spectrum: float | None
    """Power in the finer half of the frequencies, ours over the original's."""
    pictures: int


def gradients(planes_NHW: np.ndarray) -> np.ndarray:
    """Central differences of (N, H, W) → (N, 2, H-2, W-2), per pixel."""
    dy = (planes_NHW[:, 2:, 1:-1] - planes_NHW[:, :-2, 1:-1]) / 2
    dx = (planes_NHW[:, 1:-1, 2:] - planes_NHW[:, 1:-1, :-2]) / 2
    return np.stack([dy, dx], axis=1)


def fine_power(planes_NHW: np.ndarray) -> np.ndarray:
    """Power above half of the Nyquist frequency, (N,), under a Hann window that hides the picture's border."""
    height, width = planes_NHW.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width))
    centred = planes_NHW - planes_NHW.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    return power[:, radius >= 0.25].sum(axis=1)


def compare(ours_NHWC: np.ndarray, originals_NHWC: np.ndarray) -> Lines:
    """Line fidelity of uint8 (N, H, W, 3) against the originals. A blank original says nothing and is left out."""
    ours, originals = luminance(ours_NHWC), luminance(originals_NHWC)
    a, b = gradients(ours), gradients(originals)
    energy_a, energy_b = np.square(a).sum(axis=(1, 2, 3)), np.square(b).sum(axis=(1, 2, 3))
    fine_a, fine_b = fine_power(ours), fine_power(originals)
    kept = (energy_b > 1e-9) & (fine_b > 1e-12)
    if not kept.any():
        return Lines(energy=None, correlation=None, spectrum=None, pictures=0)
    both = (a * b).sum(axis=(1, 2, 3))
    lengths = np.sqrt(energy_a * energy_b)
    cosine = np.divide(both, lengths, out=np.zeros_like(both), where=lengths > 0)
    return Lines(
        energy=float((energy_a[kept] / energy_b[kept]).mean()),
        correlation=float(cosine[kept].mean()),
        spectrum=float((fine_a[kept] / fine_b[kept]).mean()),
        pictures=int(kept.sum()),
    )
