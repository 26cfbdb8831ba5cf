"""Each expectation holds on a good corpus, and broken once it stops the run, by its own name."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from danqing.config import Validate
from danqing.data import agreement, corpus
from danqing.data.split import SHARES
from danqing.errors import ConfigError, DataError, ValidationFailed
from danqing.monitor import Silent
from danqing.platform.expectations import suites, validate

THEMES = ("landscape", "figure", "flower", "bird_animal")
ROWS = 80
SMALL = Validate(min_pictures=60)


def picture(number: int, size: int = 32) -> bytes:
    return corpus.encode(np.random.default_rng(number).integers(0, 255, (size, size, 3), np.uint8))


def row(number: int) -> dict:
    """Row `number` of a good corpus: 8 of 10 in train, the themes in turn, no two alike."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    place = number // len(THEMES) % 10
    return corpus.record(
        id=f"p{number:03d}", image=picture(number), source="brush", source_id=str(number), licence="CC0-1.0",
        sha256=digest, phash=digest[:16], group=f"g{number}", width=32, height=32, theme=THEMES[number % 4],
        category="freehand", content="landscape", technique="thick ink",
        caption_en="A free and easy freehand painting of majestic mountains, deep thick ink.",
        caption_zh="写意山水", caption_origin="truth", split="train" if place < 8 else "val" if place == 8 else "test",
    )  # fmt: skip


def rows() -> list[dict]:
    return [row(number) for number in range(ROWS)]


def run(tmp_path: Path, records: list[dict], config: Validate = SMALL, labels: list[tuple] = ()) -> tuple[dict, Path]:
    folder, out = tmp_path / "corpus", tmp_path / "out"
    out.mkdir()
    corpus.write(folder, records)
    if labels:
        with open(folder / agreement.FILE, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "annotator", "label"), *labels])
    try:
        return validate(folder, out=out, config=config, monitor=Silent(), scratch=out), out
    finally:
        assert (out / "report.html").is_file(), "the report is written whatever happens"


def test_a_good_corpus_passes_and_its_report_needs_no_network(tmp_path: Path) -> None:
    metrics, out = run(tmp_path, rows(), labels=[(f"p{i:03d}", who, "ab"[i % 2]) for i in range(9) for who in "xy"])
    assert metrics["broken"] == 0 and metrics["pictures"] == ROWS
    assert metrics["expectations"] == sum(len(suite) for suite in suites(SMALL).values())
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "http" not in page and "<script" not in page
    assert "landscape" in page and "CC0-1.0" in page


def test_the_same_corpus_gives_the_same_files(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _, out = run(tmp_path / name, rows())
        contents.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert contents[0] == contents[1]


def every(**values: object) -> Callable[[list[dict]], None]:
    def change(records: list[dict]) -> None:
        for record in records:
            record.update(values)

    return change


def first(**values: object) -> Callable[[list[dict]], None]:
    return lambda records: records[0].update(values)


def as_second(*columns: str) -> Callable[[list[dict]], None]:
    return lambda records: records[0].update({name: records[1][name] for name in columns})


def fewer(records: list[dict]) -> None:
    del records[50:]


def look_alike(records: list[dict]) -> None:
    """The hash of a training picture, two bits off, in the test split."""
    test = next(r for r in records if r["split"] == "test")
    test["phash"] = f"{int(records[0]['phash'], 16) ^ 0b101:016x}"


def one_group_in_two_splits(records: list[dict]) -> None:
    next(r for r in records if r["split"] == "test")["group"] = records[0]["group"]


def flowers_never_tested(records: list[dict]) -> None:
    """Each theme's shares may be off by its sampling error; a whole theme in one split is more than that."""
    for number in range(ROWS, ROWS + 300):
        records.append(row(number))
    for record in records:
        if record["theme"] == "flower":
            record["split"] = "train"


# What breaks each expectation → a part of the one line that the user reads.
BROKEN: dict[str, tuple[Callable[[list[dict]], None], str]] = {
    "enough_pictures": (fewer, "found 50"),
    "ids_unique": (as_second("id"), "p001"),
    "ids_present": (first(id=" "), "1 of 80"),
    "files_unique": (as_second("sha256"), "p000"),
    "files_hashed": (first(sha256="unknown"), "p000: 'unknown'"),
    "looks_hashed": (first(phash="xyz"), "p000: 'xyz'"),
    "source_present": (first(source=""), "p000"),
    "source_id_present": (first(source_id=""), "p000"),
    "licence_present": (first(licence=""), "p000: ''"),
    "licence_allowed": (first(licence="CC-BY-NC-4.0"), "p000: 'CC-BY-NC-4.0'"),
    "group_present": (first(group=""), "p000"),
    "theme_known": (first(theme="abstract"), "p000: 'abstract'"),
    "category_known": (first(category="oil"), "p000: 'oil'"),
    "content_known": (first(content="cars"), "p000: 'cars'"),
    "technique_known": (first(technique="spray"), "p000: 'spray'"),
    "split_known": (first(split="training"), "p000: 'training'"),
    "groups_apart": (one_group_in_two_splits, "p000: 2"),
    "look_alikes_apart": (look_alike, "p000: 'p0"),
    "pictures_decode": (first(image=picture(0)[:100]), "p000"),
    "pictures_sized": (first(width=64, height=64), "p000: '32 x 32', '64 x 64'"),
    "one_size": (first(image=picture(0, 16), width=16, height=16), "found 2"),
    "pictures_square": (first(width=31), "p000: 31, 32"),
    "caption_length": (first(caption_en=""), "p000: 0"),
    "caption_names_category": (every(caption_en="A painting of mountains."), "80 of 80"),
    "caption_chinese": (first(caption_zh="freehand landscape"), "p000: 'freehand landscape'"),
    "caption_origin_known": (first(caption_origin=""), "p000"),
    "split_shares": (flowers_never_tested, "flower/test"),
    "themes_balanced": (every(theme="flower"), "flower: 1.0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_expectation_is_named_with_column_and_rows(tmp_path: Path, name: str) -> None:
    breaks, shown = BROKEN[name]
    records = rows()
    breaks(records)
    with pytest.raises(ValidationFailed) as error:
        run(tmp_path, records)
    text = str(error.value)
    assert "\n" not in text
    assert f"expectation {name}" in text or f"also broken: {name}" in text or f", {name}" in text
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert name in report and "stops here" in report
    if text.startswith(f"the corpus breaks expectation {name}"):
        assert shown in text


def test_every_expectation_is_broken_once_by_these_tests() -> None:
    named = {expectation.meta["name"] for suite in suites(SMALL).values() for expectation in suite}
    elsewhere = {"columns_complete", "columns_typed", "annotators_agree", "labels_comparable"}
    assert named == set(BROKEN) | elsewhere


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda table: table.drop_columns(["licence"]), "columns_complete"),
        (lambda table: table.append_column("mood", [["calm"] * len(table)]), "columns_complete"),
        (lambda table: table.set_column(10, "width", [[str(w) for w in table["width"].to_pylist()]]), "columns_typed"),
    ],
)
def test_missing_foreign_and_mistyped_columns_stop_the_run(tmp_path: Path, change: Callable, name: str) -> None:
    import pyarrow.parquet as pq

    folder, out = tmp_path / "corpus", tmp_path / "out"
    out.mkdir()
    corpus.write(folder, rows())
    (shard,) = corpus.shards(folder)
    pq.write_table(change(pq.read_table(shard)), shard)
    with pytest.raises(ValidationFailed, match=f"expectation {name}"):
        validate(folder, out=out, config=SMALL, monitor=Silent(), scratch=out)
    assert name in (out / "report.html").read_text(encoding="utf-8")


def test_annotators_who_disagree_stop_the_run(tmp_path: Path) -> None:
    labels = [(f"p{i:03d}", who, "ab"[(i + k) % 2]) for i in range(20) for k, who in enumerate("xy")]
    with pytest.raises(ValidationFailed, match="expectation annotators_agree, column kappa"):
        run(tmp_path, rows(), labels=labels)


def test_labels_from_which_nothing_follows_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed, match="labels_comparable"):
        run(tmp_path, rows(), labels=[("p000", "x", "a"), ("p001", "y", "b")])


def test_fleiss_kappa_of_a_worked_example() -> None:
    # Fleiss' own kind of table: 10 subjects, 14 raters, 5 labels; kappa 0.210 (standard textbook example).
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert agreement.fleiss_kappa(table) == pytest.approx(0.210, abs=5e-4)
    assert agreement.fleiss_kappa([[2, 0], [0, 2]]) == 1.0
    assert math.isnan(agreement.fleiss_kappa([[2, 0], [2, 0]]))


def test_labels_without_their_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / agreement.FILE).write_text("id,label\np1,a\n", encoding="utf-8")
    with pytest.raises(DataError, match="annotator"):
        agreement.read(tmp_path)


def test_a_share_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_theme_share"):
        dataclasses.replace(SMALL, max_theme_share=1.5)


def test_shares_are_those_of_the_split() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
