"""The corpus: parquet shards that hold pictures and typed columns.

A corpus is a folder: `shards/<first 16 hex digits of its SHA-256>.parquet`, `corpus.json` (counts, columns' version)
and `rejected.jsonl` (what was set aside, and why). Shards are named by content, so data versioning stores each once.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danqing import files
from danqing.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

VERSION = 1
SHARD_ROWS = 512
SPLITS = ("train", "val", "test")

# Columns in order: name → type. "" or -1 stands for "not known (yet)"; nulls are not used.
COLUMNS: dict[str, str] = {
    "id": "string",  # unique in the corpus
    "image": "binary",  # PNG, JPEG or WebP, exactly as ingested; from annotate on the square crop, as PNG
    "source": "string",  # brush, folder, met, artic
    "source_id": "string",
    "source_url": "string",
    "institution": "string",
    "licence": "string",  # SPDX
    "sha256": "string",  # of the original file's bytes
    "phash": "string",  # 16 hex digits, perceptual
    "group": "string",  # one work of art (or one brush scene): never in two splits
    "width": "int32",  # of `image`
    "height": "int32",
    "title": "string",
    "title_zh": "string",
    "artist": "string",
    "date": "string",
    "medium": "string",
    "tags": "string",  # "; " separated
    "theme": "string",  # danqing.taxonomy.THEMES
    "subtheme": "string",
    "category": "string",  # freehand, fine-brush, sketch
    "content": "string",
    "technique": "string",
    "epoch": "string",
    "school": "string",
    "region": "string",
    "season": "string",
    "palette": "string",
    "main": "string",  # main element, where known
    "elements": "string",  # JSON list of {"kind", "box": [x0, y0, x1, y1] in 0..1, "count", "place"}
    "white_space": "float32",  # share of blank ground
    "screen_theme": "string",  # most probable theme by the screening network
    "screen_painting": "float32",  # 1 - P(not a painting)
    "crop_rule": "string",  # subject, pad, centre
    "crop": "string",  # JSON [x0, y0, x1, y1], pixels of the ingested picture
    "caption_en": "string",
    "caption_zh": "string",
    "caption_origin": "string",  # truth (brush), metadata, measured
    "split": "string",  # train, val, test
}
_EMPTY = {"string": "", "binary": b"", "int32": -1, "float32": -1.0}

Record = dict[str, Any]


def schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"string": pa.string(), "binary": pa.binary(), "int32": pa.int32(), "float32": pa.float32()}
    return pa.schema([pa.field(name, kinds[kind], nullable=False) for name, kind in COLUMNS.items()])


def record(**values: Any) -> Record:
    """A full record from the columns that are known."""
    unknown = set(values) - set(COLUMNS)
    if unknown:
        raise DataError(f"unknown corpus columns: {', '.join(sorted(unknown))}")
    return {name: values.get(name, _EMPTY[kind]) for name, kind in COLUMNS.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A picture that was set aside."""

    id: str
    reason: str


def write(
    folder: Path, records: Iterable[Mapping[str, Any]], rejected: Iterable[Rejected] = (), *, part: bool = False
) -> int:
    """Write a corpus into `folder`, shard by shard; returns the number of records.

    An empty corpus is an error, unless it is only `part` of one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    block: list[Mapping[str, Any]] = []

    def flush(into: Path) -> None:
        nonlocal total
        table = pa.Table.from_pylist([dict(r) for r in block], schema=schema())
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        data = buffer.getvalue()
        files.write_bytes(into / f"{total:07d}-{hashlib.sha256(data).hexdigest()[:16]}.parquet", data)
        total += len(block)
        block.clear()

    with files.atomic_folder(Path(folder) / "shards") as into:  # all shards or the old ones, never some of both
        for item in records:
            block.append(item)
            if len(block) == SHARD_ROWS:
                flush(into)
        if block:
            flush(into)
        lines = [json.dumps({"id": r.id, "reason": r.reason}, ensure_ascii=False) for r in rejected]
        files.write_text(Path(folder) / "rejected.jsonl", "".join(line + "\n" for line in lines))
        if total == 0 and not part:
            why = f" ({lines[0]} …)" if lines else ""
            raise DataError(f"{folder}: no picture is left for the corpus; {len(lines)} were set aside{why}")
    files.write_json(Path(folder) / "corpus.json", {"version": VERSION, "records": total, "rejected": len(lines)})
    return total


LABELS = "labels.csv"
"""Judgements of human annotators, optional (`danqing.data.agreement`); they travel with the corpus."""


def carry_labels(source: Path, out: Path) -> None:
    """Copy the annotators' judgements from one folder to the next, where there are any."""
    if (Path(source) / LABELS).is_file():
        files.write_bytes(Path(out) / LABELS, (Path(source) / LABELS).read_bytes())


def shards(folder: Path) -> list[Path]:
    found = sorted((Path(folder) / "shards").glob("*.parquet"))
    if not found:
        raise DataError(f"{folder}: this is no corpus (no shards/*.parquet); run `danqing ingest` first")
    return found


def read(folder: Path, columns: list[str] | None = None) -> Iterator[Record]:
    """The records of a corpus in order, one shard in memory at a time."""
    import pyarrow.parquet as pq

    for shard in shards(folder):
        try:
            table = pq.read_table(shard, columns=columns)
        except (OSError, ValueError) as error:
            raise DataError(f"{shard}: the shard is damaged ({error}); fetch it again with `dvc pull`") from error
        yield from table.to_pylist()


def frame(folder: Path, columns: list[str] | None = None) -> Any:
    """All columns but the pictures, as a pandas DataFrame."""
    import pyarrow.parquet as pq

    wanted = columns or [name for name in COLUMNS if name != "image"]
    import pyarrow as pa

    return pa.concat_tables([pq.read_table(s, columns=wanted) for s in shards(folder)]).to_pandas()


def rejected(folder: Path) -> list[Rejected]:
    path = Path(folder) / "rejected.jsonl"
    if not path.is_file():
        return []
    return [Rejected(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]


def decode(data: bytes) -> np.ndarray:
    """Encoded picture → uint8 array (H, W, 3), RGB."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def encode(picture: np.ndarray) -> bytes:
    """uint8 array (H, W, 3) → PNG bytes, the same for the same pixels."""
    import cv2

    ok, data = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not ok:
        raise DataError(f"a picture of shape {picture.shape} cannot be written as PNG")
    return data.tobytes()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """A split in memory: what training and evaluation read."""

    images: np.ndarray
    """uint8 (N, H, W, 3), RGB."""
    captions: list[str]
    """English, N."""
    frame: Any
    """DataFrame of the other columns, N rows."""

    def __len__(self) -> int:
        return len(self.captions)


def load(folder: Path, split: str | None = None, size: int | None = None) -> Pictures:
    """The annotated pictures of one split (None: all). size: side that they must have, pixels."""
    import numpy as np
    import pandas as pd

    images, rows = [], []
    for item in read(folder):
        if split is not None and item["split"] != split:
            continue
        images.append(decode(item.pop("image")))
        rows.append(item)
    if not images:
        raise DataError(f"{folder}: no picture in split {split!r}; was the corpus annotated?")
    shapes = {image.shape for image in images}
    if len(shapes) != 1 or (size is not None and shapes != {(size, size, 3)}):
        raise DataError(
            f"{folder}: pictures of {size} x {size} pixels are needed, found {sorted(shapes)[:3]}; "
            "set annotate.size and tokenizer.model.size to the same value"
        )
    table = pd.DataFrame(rows)
    return Pictures(images=np.stack(images), captions=list(table["caption_en"]), frame=table)
