"""A folder of pictures with a `metadata.csv` beside them.

Needed columns: `id` or `file`, and `licence` (or `license`). Everything else is taken where it stands and ignored where
it is unknown: title, title_zh, artist, date, period, medium, tags, genre, source_institution, source_url, group...
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from danqing.data import metadata
from danqing.data.corpus import COLUMNS, Rejected
from danqing.data.sources import Failed, Fetched, Item
from danqing.errors import DataError
from danqing.files import storage

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")

# Corpus column → the names under which catalogues have it, best first.
_ALIASES = {
    "source_id": ("source_id", "object_id", "accession", "accession_number"),
    "source_url": ("source_url", "url", "link"),
    "institution": ("institution", "source_institution", "museum", "repository"),
    "title": ("title", "title_en", "name"),
    "title_zh": ("title_zh", "title_cn"),
    "artist": ("artist", "author", "painter"),
    "date": ("date", "object_date", "year"),
    "medium": ("medium", "materials", "technique_and_material"),
}
# Vocabulary columns that a steward may fill in by hand.
_BY_HAND = ("theme", "subtheme", "category", "content", "technique", "epoch", "school", "region", "season", "palette")

_LICENCES = {
    "cc0": "CC0-1.0", "cc0 1.0": "CC0-1.0", "cc-zero": "CC0-1.0", "public domain": "PDM-1.0", "pdm": "PDM-1.0",
    "public domain mark 1.0": "PDM-1.0", "cc by 4.0": "CC-BY-4.0", "cc-by": "CC-BY-4.0", "cc by-sa 4.0": "CC-BY-SA-4.0",
}  # fmt: skip


def spdx(licence: str) -> str:
    """A licence as its SPDX name, where a common spelling of it is known."""
    text = licence.strip()
    return _LICENCES.get(text.lower(), text)


def _inside(root: Path, name: str) -> Path | None:
    """The file `name` below `root`, or None if it would lie elsewhere."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or re.match(r"[A-Za-z]:", name):
        return None
    path = root / parts
    return path if path.resolve().is_relative_to(root.resolve()) else None


def _rows(root: Path) -> list[dict[str, str]]:
    table = root / "metadata.csv"
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; give ingest.source=folder:PATH the folder of your pictures")
    if not table.is_file():
        raise DataError(f"{table}: there is no metadata.csv; write one with the columns id, file and licence")
    with storage(table):
        data = table.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{table}: not UTF-8 (byte {error.start}); save the table as UTF-8") from None
    try:
        reader = csv.DictReader(text.splitlines(keepends=True), restval="")
        names = {name.strip().lower() for name in reader.fieldnames or () if name}
        rows = [
            {key.strip().lower(): (value or "").strip() for key, value in row.items() if isinstance(key, str)}
            for row in reader
        ]
    except csv.Error as error:
        raise DataError(f"{table}: not a CSV table ({error})") from None
    if not names & {"id", "file"}:
        raise DataError(f"{table}: a column `id` or `file` is needed, found {', '.join(sorted(names)) or 'nothing'}")
    if not names & {"licence", "license"}:
        raise DataError(f"{table}: a column `licence` is needed (e.g. CC0-1.0), found {', '.join(sorted(names))}")
    if not rows:
        raise DataError(f"{table}: the table has no rows; add one for each picture")
    return rows


class Folder:
    batch = 256
    limit: int | None = None

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root, self._max_bytes = Path(root), max_bytes

    def listing(self) -> list[Item | Rejected]:
        found: list[Item | Rejected] = []
        seen: set[str] = set()
        for number, row in enumerate(_rows(self._root), start=2):
            file = row.get("file", "")
            name = row.get("id") or Path(file).stem or f"row-{number}"
            if name in seen:
                found.append(Rejected(id=name, reason=f"metadata.csv, row {number}: the id stands there twice"))
                continue
            seen.add(name)
            path, reason = self._locate(file, name)
            if path is None:
                found.append(Rejected(id=name, reason=reason))
            else:
                where = path.relative_to(self._root).as_posix()
                found.append(Item(id=name, where=where, fields=self._fields(name, row)))
        return found

    def _locate(self, file: str, name: str) -> tuple[Path | None, str]:
        if file:
            path = _inside(self._root, file)
            if path is None:
                return None, f"the file {file!r} lies outside the folder"
            return (path, "") if path.is_file() else (None, f"the file {file} is missing")
        for folder in ("images", ""):
            for suffix in SUFFIXES:
                path = _inside(self._root, f"{folder}/{name}{suffix}" if folder else name + suffix)
                if path is not None and path.is_file():
                    return path, ""
        return None, "no picture of this id is in the folder"

    def _fields(self, name: str, row: dict[str, str]) -> dict[str, Any]:
        fields: dict[str, Any] = {"source": "folder", "group": row.get("group") or name}
        fields["licence"] = spdx(row.get("licence") or row.get("license", ""))
        for column, aliases in _ALIASES.items():
            fields[column] = next((row[a] for a in aliases if row.get(a)), "")
        fields["source_id"] = fields["source_id"] or name
        fields["date"] = fields["date"] or row.get("period", "")
        stated = metadata.facts({**row, **{c: fields[c] for c in ("title", "title_zh", "date", "medium")}})
        fields |= stated | {column: row[column] for column in _BY_HAND if row.get(column)}
        fields["tags"] = "; ".join(filter(None, (row.get("tags", ""), row.get("genre", ""))))
        return {key: value for key, value in fields.items() if key in COLUMNS}

    def _read(self, item: Item) -> Fetched | Rejected | Failed:
        path = self._root / item.where
        try:
            size = path.stat().st_size
            if size > self._max_bytes:
                return Rejected(id=item.id, reason=f"{size} bytes are more than max_bytes = {self._max_bytes}")
            return Fetched(id=item.id, data=path.read_bytes(), fields=item.fields)
        except OSError as error:
            return Rejected(id=item.id, reason=f"the file cannot be read ({error.strerror})")

    def fetch(self, items: Sequence[Item]) -> Iterator[Fetched | Rejected | Failed]:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            yield from pool.map(self._read, items)
