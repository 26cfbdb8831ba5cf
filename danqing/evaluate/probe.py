"""Whether the main thing asked for is in the picture: a probe trained on real pictures looks for it.

The probe is a linear classifier of main elements over picture features. How good it is on real held-out pictures is
always printed beside what it finds in generated ones: a poor probe proves nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

MIN_EXAMPLES = 5
"""Training pictures that a main element needs to become a class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Softmax regression on standardised features."""

    classes: tuple[str, ...]
    weight_DC: np.ndarray
    bias_C: np.ndarray
    mean_D: np.ndarray
    scale_D: np.ndarray

    def predict(self, features_ND: np.ndarray) -> list[str]:
        logits = (features_ND - self.mean_D) / self.scale_D @ self.weight_DC + self.bias_C
        return [self.classes[i] for i in logits.argmax(axis=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hits:
    """How often the prompted main element is found."""

    rate: float
    chance: float
    """The expected rate if the same pictures were dealt to the same prompts at random."""
    pictures: int


def usable(labels: list[str]) -> list[str]:
    """The main elements frequent enough to be learned; fewer than two make no probe."""
    counts = Counter(label for label in labels if label)
    return sorted(label for label, count in counts.items() if count >= MIN_EXAMPLES)


def fit(features_ND: np.ndarray, labels: list[str], *, penalty: float = 1e-2) -> Probe:
    """Train the probe; pictures without a (frequent) label are left out. Deterministic: a convex problem from zero.

    penalty: weight of the mean squared coefficient per class. Raises ValueError below two classes.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    classes = usable(labels)
    if len(classes) < 2:
        raise ValueError(f"a probe needs two main elements with {MIN_EXAMPLES} pictures each, found {len(classes)}")
    place = {name: i for i, name in enumerate(classes)}
    kept = [i for i, label in enumerate(labels) if label in place]
    features = np.asarray(features_ND, np.float32)[kept]
    mean, scale = features.mean(0), np.maximum(features.std(0), 1e-3)
    x = ((features - mean) / scale).astype(np.float64)
    y = np.eye(len(classes))[[place[labels[i]] for i in kept]]
    split = x.shape[1] * len(classes)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[:split].reshape(x.shape[1], -1), flat[split:]
        log_p = log_softmax(x @ weight + bias, axis=1)
        wrong = (np.exp(log_p) - y) / len(y)
        loss = -(log_p * y).sum() / len(y) + 0.5 * penalty * np.square(weight).sum()
        return float(loss), np.concatenate([(x.T @ wrong + penalty * weight).ravel(), wrong.sum(0)])

    start = np.zeros(split + len(classes))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200, "ftol": 1e-8}).x
    return Probe(
        classes=tuple(classes), weight_DC=found[:split].reshape(x.shape[1], -1).astype(np.float32),
        bias_C=found[split:].astype(np.float32), mean_D=mean, scale_D=scale,
    )  # fmt: skip


def hits(found: list[str], asked: list[str]) -> Hits:
    """Rate at which `found` is what was `asked`, and the exact average of that rate over all shuffles of the prompts.

    Prompts without a main element ("") are left out. Raises ValueError when none is left.
    """
    pairs = [(f, a) for f, a in zip(found, asked, strict=True) if a]
    if not pairs:
        raise ValueError("no prompt names a main element")
    count = len(pairs)
    found_counts, asked_counts = Counter(f for f, _ in pairs), Counter(a for _, a in pairs)
    chance = sum(found_counts[name] * asked_counts[name] for name in asked_counts) / count**2
    return Hits(rate=sum(f == a for f, a in pairs) / count, chance=chance, pictures=count)
