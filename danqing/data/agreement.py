"""How far human annotators agree: Fleiss' kappa over labels of the same pictures.

Labels are optional: `labels.csv` in a corpus folder, columns id, annotator, label (one row a judgement).
"""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from danqing.errors import DataError
from danqing.files import storage

FILE = "labels.csv"
_COLUMNS = ("id", "annotator", "label")


def read(folder: Path) -> list[tuple[str, str, str]]:
    """The (id, annotator, label) rows of a corpus; empty where nobody labelled. Raises DataError on other columns."""
    path = Path(folder) / FILE
    if not path.is_file():
        return []
    with storage(path), open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)}; it needs {', '.join(_COLUMNS)}")
        return [(row["id"], row["annotator"], row["label"]) for row in reader]


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float:
    """Fleiss (1971): agreement above chance, 1 at best.

    counts: a row a subject, a column a label, how many of the n raters chose it; all rows have the same n ≥ 2. NaN if
    chance alone gives full agreement (everybody used one label throughout), or if there is no row.
    """
    if not counts:
        return math.nan
    raters = sum(counts[0])
    if raters < 2 or any(sum(row) != raters for row in counts):
        raise ValueError("each subject needs the same number of ratings, two or more")
    observed = sum(sum(c * (c - 1) for c in row) / (raters * (raters - 1)) for row in counts) / len(counts)
    shares = [sum(column) / (len(counts) * raters) for column in zip(*counts, strict=True)]
    chance = sum(share * share for share in shares)
    return math.nan if math.isclose(chance, 1.0) else (observed - chance) / (1 - chance)


def kappa_of(labels: Iterable[tuple[str, str, str]]) -> tuple[float, int, int]:
    """(kappa, subjects, raters a subject) over the subjects that have the most common number of ratings."""
    by_subject: dict[str, dict[str, str]] = defaultdict(dict)
    for subject, annotator, label in labels:
        by_subject[subject][annotator] = label
    sizes = Counter(len(given) for given in by_subject.values() if len(given) >= 2)
    if not sizes:
        return math.nan, 0, 0
    raters = max(sizes, key=lambda n: (sizes[n], n))
    used = [given for given in by_subject.values() if len(given) == raters]
    names = sorted({label for given in used for label in given.values()})
    counts = [[list(given.values()).count(name) for name in names] for given in used]
    return fleiss_kappa(counts), len(used), raters
