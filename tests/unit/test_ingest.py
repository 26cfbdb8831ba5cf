"""Ingest: every usable picture comes in with its facts, every other one is set aside with its reason."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danqing import presets
from danqing.data import corpus, phash
from danqing.data.brush import compose, paint
from danqing.data.ingest import ingest
from danqing.data.sources.brush import Brush
from danqing.data.sources.folder import Folder
from danqing.errors import DataError, StorageError
from danqing.monitor import Silent


def _png(seed: int, size: int = 96) -> bytes:
    return corpus.encode(paint(compose(seed), size))


def _write(folder: Path, rows: list[dict[str, str]], files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    names = list(dict.fromkeys(key for row in rows for key in row))
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, names)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _run(tmp_path: Path, source: str, **overrides: Any) -> tuple[Path, dict[str, Any]]:
    values = {f"ingest.{k}": v for k, v in {"source": source, **overrides}.items()}
    section = presets.override(presets.default(), values).ingest
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir(exist_ok=True)
    scratch.mkdir(exist_ok=True)
    metrics = ingest(out=out, config=section, monitor=Silent(), scratch=scratch)
    return out, metrics


def _reasons(out: Path) -> dict[str, str]:
    return {r.id: r.reason for r in corpus.rejected(out)}


def test_a_folder_comes_in_with_all_facts(tmp_path: Path) -> None:
    row = {
        "id": "a",
        "file": "images/a.png",
        "licence": "CC0-1.0",
        "title": "Wintry plum",
        "title_zh": "清 石濤 墨梅圖 軸",
        "period": "Qing dynasty (1644–1911)",
        "medium": "Hanging scroll; ink on paper",
        "genre": "花鸟",
        "tags": "Plum; Birds",
        "source_institution": "A museum",
        "source_url": "https://example.org/1",
        "group": "work-1",
        "a column of their own": "x",
    }
    data = _png(1)
    folder = _write(tmp_path / "in", [row, {"id": "b", "file": "images/b.png", "licence": "cc0"}],
                    {"images/a.png": data, "images/b.png": _png(2)})  # fmt: skip
    out, metrics = _run(tmp_path, f"folder:{folder}")
    first, second = corpus.read(out)
    assert metrics["pictures"] == 2
    assert (first["id"], first["source"], first["group"], first["licence"]) == ("a", "folder", "work-1", "CC0-1.0")
    assert first["image"] == data, "a picture that fits is kept byte for byte"
    import hashlib

    assert first["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(first["phash"]) == 16 and int(first["phash"], 16) >= 0
    assert (first["institution"], first["title"]) == ("A museum", "Wintry plum")
    assert (first["epoch"], first["season"], first["palette"]) == ("qing", "winter", "ink")
    assert (first["theme"], first["main"]) == ("bird_animal", "bird")
    assert (second["licence"], second["group"], second["theme"]) == ("CC0-1.0", "b", "")


def test_a_table_of_id_and_licence_alone_is_enough(tmp_path: Path) -> None:
    folder = _write(tmp_path / "in", [{"id": "a", "licence": "CC0-1.0"}], {"images/a.png": _png(1)})
    assert _run(tmp_path, f"folder:{folder}")[1]["pictures"] == 1


def _bomb() -> bytes:
    """A PNG of 10,000 x 10,000 pixels in a few kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


def _long() -> bytes:
    """Few pixels, but a longer side than JPEG allows, in a mode that is not kept."""
    buffer = io.BytesIO()
    Image.new("RGBA", (66_000, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def _portable_pixmap() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PPM")
    return buffer.getvalue()


def _truncated() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(paint(compose(3), 128)).save(buffer, "JPEG")
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


@pytest.mark.parametrize(
    ("make", "licence", "reason"),
    [
        (lambda: b"", "CC0-1.0", "the file is empty"),
        (_truncated, "CC0-1.0", "damaged"),
        (_bomb, "CC0-1.0", "10000 x 10000 pixels are more than max_pixels"),
        (_long, "CC0-1.0", "66000 x 40 pixels cannot be stored as JPEG"),
        (_portable_pixmap, "CC0-1.0", "not a picture that can be read"),
        (lambda: b"<html>not found</html>", "CC0-1.0", "not a picture"),
        (lambda: _png(1), "all rights reserved", "licence 'all rights reserved' is not one of"),
        (lambda: _png(1), "", "licence '' is not one of"),
        (lambda: corpus.encode(np.zeros((8, 200, 3), np.uint8)), "CC0-1.0", "the short side must have 32"),
    ],
    ids=[
        "zero bytes",
        "truncated",
        "100 megapixels",
        "too long",
        "other format",
        "html",
        "unknown licence",
        "no licence",
        "too small",
    ],
)
def test_an_unusable_picture_is_set_aside_and_the_others_come_in(
    tmp_path: Path, make: Callable[[], bytes], licence: str, reason: str
) -> None:
    rows = [
        {"id": "good", "file": "good.png", "licence": "CC0-1.0"},
        {"id": "bad", "file": "bad.png", "licence": licence},
    ]
    folder = _write(tmp_path / "in", rows, {"good.png": _png(5), "bad.png": make()})
    out, metrics = _run(tmp_path, f"folder:{folder}")
    assert [r["id"] for r in corpus.read(out)] == ["good"]
    assert reason in _reasons(out)["bad"]
    assert metrics["set_aside"] == 1


@pytest.mark.parametrize(
    "file", ["../secret.png", "/etc/secret.png", "images/../../secret.png", "C:\\secret.png", "link.png"]
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / "secret.png").write_bytes(_png(9))
    rows = [{"id": "good", "file": "good.png", "licence": "CC0-1.0"}, {"id": "bad", "file": file, "licence": "CC0-1.0"}]
    folder = _write(tmp_path / "in", rows, {"good.png": _png(5)})
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    out, _ = _run(tmp_path, f"folder:{folder}")
    assert [r["id"] for r in corpus.read(out)] == ["good"]
    assert "lies outside the folder" in _reasons(out)["bad"]


def test_a_missing_file_and_a_repeated_id_are_set_aside(tmp_path: Path) -> None:
    rows = [{"id": name, "file": f"{name}.png", "licence": "CC0-1.0"} for name in ("a", "gone", "a")]
    folder = _write(tmp_path / "in", rows, {"a.png": _png(5)})
    out, _ = _run(tmp_path, f"folder:{folder}")
    assert "gone.png is missing" in _reasons(out)["gone"]
    assert "stands there twice" in _reasons(out)["a"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "there is no metadata.csv"),
        (b"", "a column `id` or `file` is needed"),
        (b"title,licence\nx,CC0-1.0\n", "a column `id` or `file` is needed"),
        (b"id,file\na,a.png\n", "a column `licence` is needed"),
        (b"id,licence\n", "the table has no rows"),
        ("id,licence\n山水画,CC0-1.0\n".encode("gb18030"), "not UTF-8"),
    ],
    ids=["none", "empty", "no id", "no licence column", "no rows", "gb18030"],
)
def test_a_folder_without_a_usable_table_is_one_clear_error(tmp_path: Path, table: bytes | None, message: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    if table is not None:
        (folder / "metadata.csv").write_bytes(table)
    with pytest.raises(DataError, match=message) as caught:
        _run(tmp_path, f"folder:{folder}")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        _run(tmp_path, f"folder:{tmp_path / 'nowhere'}")


def test_when_nothing_is_usable_the_error_names_a_reason(tmp_path: Path) -> None:
    folder = _write(tmp_path / "in", [{"id": "a", "file": "a.png", "licence": "CC0-1.0"}], {"a.png": b""})
    with pytest.raises(DataError, match=r"no picture is left.*the file is empty"):
        _run(tmp_path, f"folder:{folder}")


def test_exact_copies_are_set_aside_and_look_alikes_share_a_group(tmp_path: Path) -> None:
    picture = paint(compose(11), 200)
    buffer = io.BytesIO()
    Image.fromarray(picture).resize((180, 180)).save(buffer, "JPEG", quality=80)
    files = {
        "a.png": corpus.encode(picture),
        "b.jpg": buffer.getvalue(),
        "c.png": corpus.encode(picture),
        "d.png": _png(12),
    }
    rows = [{"id": f.split(".")[0], "file": f, "licence": "CC0-1.0", "group": f"g-{f[0]}"} for f in files]
    out, metrics = _run(tmp_path, f"folder:{_write(tmp_path / 'in', rows, files)}")
    groups = {r["id"]: r["group"] for r in corpus.read(out)}
    assert groups == {"a": "g-a", "b": "g-a", "d": "g-d"}
    assert _reasons(out) == {"c": "exact copy of a"}
    assert (metrics["exact_copies"], metrics["look_alikes"]) == (1, 1)


def test_a_large_picture_is_stored_smaller_and_its_file_stays_as_it_was(tmp_path: Path) -> None:
    data = corpus.encode(paint(compose(2), 400))
    folder = _write(tmp_path / "in", [{"id": "a", "file": "a.png", "licence": "CC0-1.0"}], {"a.png": data})
    out, _ = _run(tmp_path, f"folder:{folder}", store=128)
    (record,) = corpus.read(out)
    assert (record["width"], record["height"]) == (128, 128)
    assert corpus.decode(record["image"]).shape == (128, 128, 3)
    assert (folder / "a.png").read_bytes() == data


def test_a_turned_and_a_transparent_picture_come_in_upright_and_on_white(tmp_path: Path) -> None:
    turned, clear = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(paint(compose(3), 96)).crop((0, 0, 96, 60)).save(turned, "JPEG", exif=exif)
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(clear, "PNG")
    files = {"turned.jpg": turned.getvalue(), "clear.png": clear.getvalue()}
    rows = [{"id": name.split(".")[0], "file": name, "licence": "CC0-1.0"} for name in files]
    out, _ = _run(tmp_path, f"folder:{_write(tmp_path / 'in', rows, files)}")
    pictures = {r["id"]: corpus.decode(r["image"]) for r in corpus.read(out)}
    assert pictures["turned"].shape == (96, 60, 3)
    assert pictures["clear"].min() > 250


@pytest.mark.parametrize(
    ("number", "message"), [(errno.EACCES, "permission denied; choose a folder"), (errno.ENOSPC, "the disk is full")]
)
def test_an_output_that_cannot_be_written_is_one_clear_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    real = os.fsync
    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(StorageError, match=message) as caught:
        _run(tmp_path, "brush", count=4, size=64)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(os, "fsync", real)
    assert _run(tmp_path, "brush", count=4, size=64)[1]["pictures"] == 4


def test_an_output_below_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    section = presets.override(presets.default(), {"ingest.count": 4, "ingest.size": 64}).ingest
    with pytest.raises(StorageError, match="a part of the path is a file"):
        ingest(out=tmp_path / "file" / "out", config=section, monitor=Silent(), scratch=tmp_path)


def test_brush_pictures_carry_the_truth_about_their_scene(tmp_path: Path) -> None:
    import json

    out, _ = _run(tmp_path, "brush", count=26, size=64)
    records = list(corpus.read(out))
    assert len({r["main"] for r in records}) == 13
    for record in records:
        assert record["caption_origin"] == "truth" and record["caption_en"] and record["caption_zh"]
        assert record["licence"] == "CC0-1.0" and record["source"] == "brush"
        elements = json.loads(record["elements"])
        assert elements[0]["kind"] == record["main"] and len(elements[0]["box"]) == 4
        assert 0 < record["white_space"] < 1
        assert record["theme"] and record["technique"] and record["content"]


def test_the_same_brush_corpus_is_the_same_files_and_a_longer_one_begins_with_it(tmp_path: Path) -> None:
    sets = []
    for name, count in (("a", 13), ("b", 13), ("c", 20)):
        (tmp_path / name).mkdir()
        out, _ = _run(tmp_path / name, "brush", count=count, size=64)
        sets.append([(r["id"], r["sha256"]) for r in corpus.read(out)])
    assert sets[0] == sets[1] == sets[2][:13]


def test_many_processes_paint_what_one_paints() -> None:
    source = Brush(count=70, size=32, seed=1)
    items = source.listing()
    try:
        together = list(source.fetch(items))  # type: ignore[arg-type]
    finally:
        source.close()
    alone = [picture for item in items for picture in source.fetch([item])]  # type: ignore[list-item]
    assert together == alone


_KILLED = """
import os, signal
from danqing.data.sources.brush import Brush

source = Brush(count=70, size=32, seed=1)
next(iter(source.fetch(source.listing())))
print(len(source._pool._processes), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core paints without workers")
def test_a_killed_ingest_leaves_no_worker_behind() -> None:
    killed = subprocess.Popen([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, start_new_session=True)
    try:
        said, _ = killed.communicate(timeout=120)  # the workers hold the pipe open as long as they live
        assert int(said) >= 2 and killed.returncode == -signal.SIGKILL
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(killed.pid, signal.SIGKILL)


def test_a_killed_ingest_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": f"p{i}", "file": f"p{i}.png", "licence": "CC0-1.0"} for i in range(12)]
    folder = _write(tmp_path / "in", rows, {f"p{i}.png": _png(i) for i in range(12)})
    (tmp_path / "whole").mkdir()
    whole, _ = _run(tmp_path / "whole", f"folder:{folder}")
    monkeypatch.setattr(Folder, "batch", 4)
    read: list[str] = []
    true_read = Folder._read

    def counted(self: Folder, item: Any) -> Any:
        if len(read) == 10:
            raise KeyboardInterrupt
        read.append(item.id)
        return true_read(self, item)

    monkeypatch.setattr(Folder, "_read", counted)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path, f"folder:{folder}")
    monkeypatch.setattr(Folder, "_read", true_read)
    again: list[str] = []
    monkeypatch.setattr(Folder, "_read", lambda self, item: (again.append(item.id), true_read(self, item))[1])
    out, _ = _run(tmp_path, f"folder:{folder}")
    assert again == ["p8", "p9", "p10", "p11"], "the two finished batches were not read again"
    assert list(corpus.read(out)) == list(corpus.read(whole))
    assert list((tmp_path / "scratch").iterdir()) == [], "nothing is left behind"


def test_perceptual_hashes_survive_scaling_and_tell_pictures_apart() -> None:
    pictures = [paint(compose(i), 160) for i in range(12)]
    hashes = [phash.phash(p) for p in pictures]
    for picture, value in zip(pictures, hashes, strict=True):
        smaller = np.asarray(Image.fromarray(picture).resize((90, 90)))
        assert phash.distance(phash.phash(smaller), value) <= 4
    assert min(phash.distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 4


def _hashes(count: int, seed: int = 0) -> list[str]:
    """Random hashes, among them pairs that differ in 0 to 6 bits, and equal ones."""
    rng = np.random.default_rng(seed)
    values = [int.from_bytes(rng.bytes(8)) for _ in range(count)]
    flips = [
        sum(1 << int(b) for b in rng.choice(64, int(rng.integers(0, 7)), replace=False)) for _ in range(count // 2)
    ]
    values += [v ^ flip for v, flip in zip(values[: count // 2], flips, strict=True)]
    return [f"{v:016x}" for v in values + values[:3] * 4]


@pytest.mark.parametrize("wanted", [5, 6, 7, 8])
def test_near_pairs_finds_exactly_what_comparing_all_finds(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phash, "bands", lambda count, bits: wanted)
    hashes = _hashes(150)
    brute = {(i, j) for j in range(len(hashes)) for i in range(j) if phash.distance(hashes[i], hashes[j]) <= 4}
    found = list(phash.near_pairs(hashes, 4))
    assert set(found) == brute and len(found) == len(brute) > 40
    assert list(phash.near_pairs(hashes[:1], 4)) == list(phash.near_pairs([], 4)) == []
    groups = [f"g{i:03d}" for i in range(len(hashes))]
    assert phash.merge(groups, phash.connected(hashes, 4)) == phash.merge(groups, iter(sorted(brute)))


def test_many_equal_hashes_are_joined_without_comparing_all_with_all() -> None:
    hashes = ["00ff00ff00ff00ff"] * 5000 + ["00ff00ff00ff00fe"] * 5000
    pairs = list(phash.connected(hashes, 4))
    assert len(pairs) == 9999 and len(set(phash.merge([str(i) for i in range(10_000)], iter(pairs)))) == 1


def test_more_hashes_are_cut_into_more_bands() -> None:
    chosen = [phash.bands(count, 4) for count in (0, 100, 10**4, 10**6, 10**8)]
    assert chosen == sorted(chosen) and chosen[0] == 5 < chosen[-2] < chosen[-1]


def test_the_museum_paintings_come_in(shared_data: Path, tmp_path: Path) -> None:
    out, metrics = _run(tmp_path, f"folder:{shared_data / 'paintings'}")
    assert metrics["pictures"] == 368
    records = list(corpus.read(out))
    assert {r["licence"] for r in records} == {"CC0-1.0"}
    assert sum(bool(r["theme"]) for r in records) > 250
    by_id = {r["id"]: r for r in records}
    assert by_id["met-39901"]["main"] == "horse" and by_id["met-39901"]["epoch"] == "pre-qing"


def _in_parts(tmp_path: Path, source: str, shards: int, leave_out: int = -1, **overrides: Any) -> Path:
    """A folder with the parts of `source`."""
    parts = tmp_path / "parts"
    for shard in range(shards):
        if shard != leave_out:
            (parts / f"p{shard}").mkdir(parents=True)
            out, _ = _run(parts / f"p{shard}", source, shard=shard, shards=shards, **overrides)
            out.rename(parts / f"{9 - shard}")  # the folders' names say nothing about the order
    return parts


def test_parts_of_a_folder_are_put_together_to_what_one_run_writes(tmp_path: Path) -> None:
    """Copies and look-alikes in one part, across parts, and through a third picture; broken ones; labels."""
    pictures = {f"{i}.png": _png(i) for i in range(9)}
    blurred = {f"{i}b.png": _resized(pictures[f"{i}.png"], 80) for i in (0, 4, 8)}
    again = {f"{i}c.png": pictures[f"{i}.png"] for i in (1, 7)}
    everything = {**pictures, "broken.png": b"none", **blurred, **again}
    rows = [{"file": name, "licence": "CC0-1.0"} for name in [*everything, "gone.png"]]
    rows[3]["licence"] = "unknown"
    folder = _write(tmp_path / "in", rows, everything)
    (folder / corpus.LABELS).write_text("id,annotator,label\n")
    (tmp_path / "one").mkdir()
    whole, metrics = _run(tmp_path / "one", f"folder:{folder}")
    assert metrics["exact_copies"] == 2 and metrics["look_alikes"] >= 3, "there is something to find"
    for shards in (2, 5):
        (here := tmp_path / f"in-{shards}").mkdir()
        out, found = _run(here, f"parts:{_in_parts(here, f'folder:{folder}', shards)}")
        assert found == metrics
        for name in ("rejected.jsonl", "corpus.json", corpus.LABELS):
            assert (out / name).read_bytes() == (whole / name).read_bytes()
        assert [p.name for p in corpus.shards(out)] == [p.name for p in corpus.shards(whole)], "named by their content"


def test_parts_of_the_brush_are_put_together_even_if_one_is_empty(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    whole, _ = _run(tmp_path / "one", "brush", count=2, size=48)
    out, _ = _run(tmp_path, f"parts:{_in_parts(tmp_path, 'brush', 3, count=2, size=48)}")
    assert [p.name for p in corpus.shards(out)] == [p.name for p in corpus.shards(whole)]


def test_a_missing_or_another_part_is_named(tmp_path: Path) -> None:
    parts = _in_parts(tmp_path, "brush", 3, leave_out=1, count=6, size=48)
    with pytest.raises(DataError, match="of 3 parts, 1 are missing"):
        _run(tmp_path, f"parts:{parts}")
    (parts / "other").mkdir()
    out, _ = _run(parts / "other", "brush", count=7, size=48, shard=1, shards=3)
    out.rename(parts / "1")
    with pytest.raises(DataError, match="different settings"):
        _run(tmp_path, f"parts:{parts}")
    with pytest.raises(DataError, match="no parts are here"):
        _run(tmp_path, f"parts:{tmp_path / 'out'}")


def _resized(data: bytes, side: int) -> bytes:
    with Image.open(io.BytesIO(data)) as picture, io.BytesIO() as file:
        picture.resize((side, side), Image.Resampling.LANCZOS).save(file, "PNG")
        return file.getvalue()
