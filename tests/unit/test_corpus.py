"""The corpus: shards named by content, typed columns, clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danqing.data import corpus
from danqing.data.corpus import Rejected
from danqing.errors import DataError, StorageError


def _records(count: int) -> list[corpus.Record]:
    picture = corpus.encode(np.full((8, 8, 3), 200, np.uint8))
    return [
        corpus.record(id=f"r{i}", image=picture, source="brush", split="train", width=8, height=8) for i in range(count)
    ]


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    assert corpus.write(tmp_path, _records(1200), [Rejected(id="x", reason="broken")]) == 1200
    assert [r["id"] for r in corpus.read(tmp_path)] == [f"r{i}" for i in range(1200)]
    assert len(corpus.shards(tmp_path)) == 3
    assert corpus.rejected(tmp_path) == [Rejected(id="x", reason="broken")]


def test_a_second_write_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    corpus.write(tmp_path, _records(1200))
    corpus.write(tmp_path, _records(3))
    assert [r["id"] for r in corpus.read(tmp_path)] == ["r0", "r1", "r2"]
    with pytest.raises(DataError):
        corpus.write(tmp_path, [])
    assert len(list(corpus.read(tmp_path))) == 3, "a corpus of nothing replaces nothing"


def test_equal_corpora_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        corpus.write(tmp_path / name, _records(600))
    names = [[p.name for p in corpus.shards(tmp_path / name)] for name in ("a", "b")]
    assert names[0] == names[1]
    contents = [[p.read_bytes() for p in corpus.shards(tmp_path / name)] for name in ("a", "b")]
    assert contents[0] == contents[1]


def test_appended_records_leave_full_shards_as_they_are(tmp_path: Path) -> None:
    corpus.write(tmp_path / "a", _records(512))
    corpus.write(tmp_path / "b", _records(700))
    assert corpus.shards(tmp_path / "a")[0].name == corpus.shards(tmp_path / "b")[0].name


def test_columns_have_their_types_and_no_nulls(tmp_path: Path) -> None:
    corpus.write(tmp_path, _records(3))
    table = corpus.frame(tmp_path)
    assert list(table.columns) == [name for name in corpus.COLUMNS if name != "image"]
    assert not table.isna().any().any()
    assert table["white_space"].dtype == np.float32
    assert (table["white_space"] == -1).all()


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(DataError, match="unknown corpus columns: colour"):
        corpus.record(id="x", colour="red")


def test_an_empty_corpus_is_an_error_that_names_a_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no picture is left.*1 were set aside.*empty file"):
        corpus.write(tmp_path, [], [Rejected(id="x", reason="empty file")])


def test_a_folder_that_is_no_corpus_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="danqing ingest"):
        list(corpus.read(tmp_path))


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    corpus.write(tmp_path, _records(3))
    shard = corpus.shards(tmp_path)[0]
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(DataError, match=f"{shard.name}.*damaged"):
        list(corpus.read(tmp_path))


def test_pictures_come_back_bit_for_bit() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(corpus.decode(corpus.encode(picture)), picture)
    assert corpus.encode(picture) == corpus.encode(picture.copy())


def test_loading_asks_for_one_size_and_names_the_keys(tmp_path: Path) -> None:
    corpus.write(tmp_path, _records(3))
    assert corpus.load(tmp_path, "train", 8).images.shape == (3, 8, 8, 3)
    with pytest.raises(DataError, match=r"annotate.size and tokenizer.model.size"):
        corpus.load(tmp_path, "train", 64)
    with pytest.raises(DataError, match="no picture in split 'test'"):
        corpus.load(tmp_path, "test")


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        corpus.write(tmp_path, _records(3))
    assert not list(tmp_path.rglob("*.parquet")), "half a shard was left"
