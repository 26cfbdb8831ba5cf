"""The tables that the expectations look at, made from a corpus: pictures, columns, splits, themes, agreement.

An expectation can only judge a column; so what has to be computed over rows (a split's share, a look-alike in another
split, whether a picture decodes) becomes a column here. Every table has an `id`, which names a row in reports.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from danqing import taxonomy
from danqing.config import Validate
from danqing.data import agreement, corpus, phash
from danqing.data.split import SHARES, TWENTY
from danqing.errors import DataError
from danqing.monitor import Monitor

SIGMAS = 3.0
"""Standard errors of sampling that a theme's share may be off, on top of the tolerance."""


def columns(folder: Path) -> pd.DataFrame:
    """One row a column and kind of shard: id (the column), place, kind (as stored), wanted_place, wanted_kind."""
    wanted = {field.name: (place, str(field.type)) for place, field in enumerate(corpus.schema())}
    rows: dict[tuple[str, int, str], dict[str, Any]] = {}
    for shard in corpus.shards(folder):
        found = _schema(shard)
        for name in [*found.names, *(name for name in wanted if name not in found.names)]:
            place = found.names.index(name) if name in found.names else -1
            kind = str(found.field(name).type) if place >= 0 else "missing"
            want_place, want_kind = wanted.get(name, (-1, "not a column of the corpus"))
            rows[name, place, kind] = {
                "id": name, "place": place, "kind": kind, "wanted_place": want_place, "wanted_kind": want_kind,
            }  # fmt: skip
    return pd.DataFrame(rows.values())


def _schema(shard: Path) -> pa.Schema:
    try:
        return pq.read_schema(shard)
    except (OSError, ValueError) as error:
        raise DataError(f"{shard}: the shard is damaged ({error}); fetch it again with `dvc pull`") from error


def pictures(folder: Path, config: Validate, monitor: Monitor) -> pd.DataFrame:
    """One row a picture: the corpus's columns but the picture itself, and

    decodes: "" or why not; decoded_size: e.g. "64 x 64"; stated_size: what width and height say; caption_words;
    names_category: whether caption_en does; group_splits: splits in which its group occurs; look_alike: "" or the id
    of a picture in another split whose perceptual hash is near.
    """
    records = []
    total = sum(pq.ParquetFile(shard).metadata.num_rows for shard in corpus.shards(folder))
    for number, item in enumerate(corpus.read(folder), start=1):
        size, problem = _decoded(item.pop("image"))
        records.append({**item, "decodes": problem, "decoded_size": size})
        if number % 256 == 0 or number == total:
            monitor.progress(number, total, "pictures decoded")
    frame = pd.DataFrame(records)
    frame["stated_size"] = [f"{w} x {h}" for w, h in zip(frame["width"], frame["height"], strict=True)]
    frame["caption_words"] = [len(text.split()) for text in frame["caption_en"]]
    frame["names_category"] = [
        _names(text, category) for text, category in zip(frame["caption_en"], frame["category"], strict=True)
    ]
    frame["group_splits"] = frame.groupby("group")["split"].transform("nunique")
    frame["look_alike"] = list(_look_alikes(frame, config.near_duplicate_bits))
    return frame


def _decoded(data: bytes) -> tuple[str, str]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return f"{image.width} x {image.height}", ""
    except Exception as error:  # noqa: BLE001 - Pillow raises many kinds, and each means that this is no picture
        return "", str(error) or type(error).__name__


def _names(caption: str, category: str) -> bool:
    term = taxonomy.CATEGORIES.get(category)
    return term is not None and term.en.lower() in caption.lower()


def _look_alikes(frame: pd.DataFrame, bits: int) -> Iterator[str]:
    ids, splits = list(frame["id"]), list(frame["split"])
    usable = [i for i, text in enumerate(frame["phash"]) if _is_hash(text)]
    found: dict[int, str] = {}
    for a, b in phash.near_pairs([frame["phash"].iloc[i] for i in usable], bits):
        i, j = usable[a], usable[b]
        if splits[i] != splits[j]:
            found.setdefault(i, f"{ids[j]} in {splits[j]}")
            found.setdefault(j, f"{ids[i]} in {splits[i]}")
    return (found.get(i, "") for i in range(len(ids)))


def _is_hash(text: str) -> bool:
    try:
        return len(text) == 16 and int(text, 16) >= 0
    except ValueError:
        return False


def splits(frame: pd.DataFrame, config: Validate) -> pd.DataFrame:
    """One row a split of the corpus and of each theme: id ("flower/val"), share, wanted, allowed, off.

    off: by how much the share lies outside wanted ± allowed; 0 is well. A theme is a sample of groups, so its allowance
    grows as its groups become few; but a theme of twenty groups or more stands in every split.
    """
    rows = []
    scopes = [("all", frame)] + [(str(theme), part) for theme, part in frame.groupby("theme")]
    for scope, part in scopes:
        groups = part["group"].nunique()
        for name, wanted in SHARES.items():
            share = float((part["split"] == name).mean())
            allowed = config.split_tolerance
            if scope != "all":
                allowed += SIGMAS * math.sqrt(wanted * (1 - wanted) / groups) + 1 / groups
            off = max(0.0, abs(share - wanted) - allowed)
            if share == 0 and groups >= TWENTY:  # sampling error would excuse it, but nothing could be measured on it
                off = wanted
            rows.append({"id": f"{scope}/{name}", "share": share, "wanted": wanted, "allowed": allowed, "off": off})
    return pd.DataFrame(rows)


def themes(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a theme: id, share, pictures."""
    counts = frame["theme"].value_counts().sort_index()
    return pd.DataFrame(
        {"id": counts.index.astype(str), "share": counts.values / len(frame), "pictures": counts.values}
    )


def agreed(folder: Path) -> pd.DataFrame | None:
    """One row: id, kappa, subjects, raters; None where nobody labelled."""
    labels = agreement.read(folder)
    if not labels:
        return None
    kappa, subjects, raters = agreement.kappa_of(labels)
    return pd.DataFrame([{"id": agreement.FILE, "kappa": kappa, "subjects": subjects, "raters": raters}])
