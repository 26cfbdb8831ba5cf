"""Whether pictures follow their own prompts: cosines under a CLIP, and a permutation test against shuffled prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The matched-versus-shuffled test."""

    cosine: float
    """Mean cosine of a picture with its own prompt."""
    shuffled: float
    """Mean over the shuffles of the mean cosine with another's prompt."""
    p: float
    """(1 + shuffles at least as good as the match) / (1 + shuffles), one-sided."""
    effect: float
    """How far a picture's own prompt stands above the average prompt for it, in standard deviations over pictures."""
    permutations: int
    pictures: int
    null: np.ndarray
    """Mean cosine of each shuffle."""

    @property
    def margin(self) -> float:
        return self.cosine - self.shuffled


def clip_score(cosines_N: np.ndarray) -> float:
    """CLIPScore, 2.5 · max(cos, 0) averaged over pictures (Hessel et al. 2021): not the raw cosine."""
    return float(2.5 * np.maximum(cosines_N, 0).mean())


def match_test(cosines_NN: np.ndarray, *, permutations: int, seed: int) -> Match:
    """Do pictures fit their own prompts better than they would if prompts were dealt at random?

    cosines_NN[i, j]: picture i with prompt j. Under the null hypothesis that pictures ignore their prompts every
    dealing is equally likely, so the p-value is exact whatever the distribution. Raises ValueError below two pictures.
    """
    cosines = np.asarray(cosines_NN, np.float64)
    count = len(cosines)
    if cosines.shape != (count, count) or count < 2:
        raise ValueError(f"a square matrix of at least two pictures is needed, got shape {cosines.shape}")
    own = np.diagonal(cosines)
    random = np.random.default_rng(seed)
    rows = np.arange(count)
    null = np.array([cosines[rows, random.permutation(count)].mean() for _ in range(permutations)])
    matched = float(own.mean())
    # Equal prompts give equal sums up to rounding: a tie counts against us.
    at_least = int((null >= matched - 1e-12).sum())
    above = own - cosines.mean(axis=1)
    spread = float(above.std(ddof=1))
    return Match(
        cosine=matched,
        shuffled=float(null.mean()),
        p=(1 + at_least) / (1 + permutations),
        effect=float(above.mean() / spread) if spread > 1e-9 else 0.0,
        permutations=permutations,
        pictures=count,
        null=null,
    )
