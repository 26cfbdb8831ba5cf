"""Annotate: square crops, captions after the paper's grammar, and what each caption rests on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from danqing import presets, taxonomy
from danqing.data import captions, corpus, measure, metadata
from danqing.data.annotate import annotate
from danqing.data.brush import compose, paint
from danqing.data.corpus import Rejected
from danqing.data.ingest import ingest
from danqing.data.sources.brush import scene_fields
from danqing.monitor import Silent
from danqing.wordpieces import WordPieces


def _annotate(source: Path, out: Path, size: int = 64) -> list[corpus.Record]:
    section = presets.override(presets.default(), {"annotate.size": size, "tokenizer.model.size": size}).annotate
    out.mkdir(parents=True, exist_ok=True)
    annotate(source, out=out, config=section, monitor=Silent(), scratch=out)
    return list(corpus.read(out))


def _work(name: str, picture: np.ndarray, **fields: Any) -> corpus.Record:
    height, width = picture.shape[:2]
    return corpus.record(
        id=name, group=name, image=corpus.encode(picture), width=width, height=height, source="folder",
        licence="CC0-1.0", **fields,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Brush scenes, and the same painter's pictures as if a museum had sent them: with a title, and without."""
    folder = tmp_path_factory.mktemp("mixed")
    records = []
    for i in range(30):
        scene = compose(i)
        records.append(
            corpus.record(
                id=f"brush-{i}",
                group=f"brush-{i}",
                image=corpus.encode(paint(scene, 96)),
                width=96,
                height=96,
                source="brush",
                licence="CC0-1.0",
                **scene_fields(scene),
            )
        )
    titled = {"title": "A Lone Boat among Autumn Mountains", "title_zh": "清 佚名 秋山孤舟圖 軸",
              "medium": "Hanging scroll; ink and color on silk", "artist": "Wang Hui"}  # fmt: skip
    records.append(_work("titled", paint(compose(50, main="mountain"), 300), **titled, **metadata.facts(titled)))
    records.append(_work("untitled", paint(compose(51, main="mountain"), 300), artist="Gong Xian"))
    records.append(_work("seen", paint(compose(52, main="fish"), 300), screen_theme="bird_animal"))
    corpus.write(folder, records, [Rejected(id="gone", reason="broken")])
    return folder


def test_pictures_are_square_pngs_of_the_size_asked_for(mixed: Path, tmp_path: Path) -> None:
    for size in (32, 128):
        for record in _annotate(mixed, tmp_path / str(size), size):
            assert record["image"].startswith(b"\x89PNG")
            assert corpus.decode(record["image"]).shape == (size, size, 3)
            assert (record["width"], record["height"]) == (size, size)
            x0, y0, x1, y1 = json.loads(record["crop"])
            assert x1 - x0 == y1 - y0 > 0
            assert record["crop_rule"] in ("subject", "pad", "centre")


def test_what_the_brush_painter_says_is_kept(mixed: Path, tmp_path: Path) -> None:
    before = {r["id"]: r for r in corpus.read(mixed)}
    for record in _annotate(mixed, tmp_path / "out"):
        if record["source"] != "brush":
            continue
        old = before[record["id"]]
        assert record["caption_origin"] == "truth"
        for column in ("caption_en", "caption_zh", "theme", "technique", "main", "elements", "group", "sha256"):
            assert record[column] == old[column]
        whole = cv2.resize(corpus.decode(old["image"]), (64, 64), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(corpus.decode(record["image"]), whole)


def test_a_catalogued_work_is_described_by_its_catalogue(mixed: Path, tmp_path: Path) -> None:
    record = {r["id"]: r for r in _annotate(mixed, tmp_path / "out")}["titled"]
    assert record["caption_origin"] == "metadata"
    assert (record["theme"], record["season"], record["main"]) == ("landscape", "autumn", "mountain")
    assert "mountain" in record["caption_en"] and "boat" in record["caption_en"]
    assert "silk" in record["caption_en"] or "autumn" in record["caption_en"]


def test_a_work_without_a_word_is_measured(mixed: Path, tmp_path: Path) -> None:
    records = {r["id"]: r for r in _annotate(mixed, tmp_path / "out")}
    assert records["untitled"]["caption_origin"] == "measured"
    assert records["untitled"]["theme"] == "landscape"
    assert records["seen"]["theme"] == "bird_animal", "the screening network's word counts where there is no other"
    for column in ("category", "content", "technique", "palette", "subtheme"):
        assert records["untitled"][column], column
    assert 0 < records["untitled"]["white_space"] < 1


def test_no_artist_is_named_in_a_caption(mixed: Path, tmp_path: Path) -> None:
    for record in _annotate(mixed, tmp_path / "out"):
        assert not re.search("Wang|Hui|Gong|Xian|王|龚", record["caption_en"] + record["caption_zh"])


def test_captions_follow_the_grammar_and_fit_the_text_encoder(mixed: Path, tmp_path: Path) -> None:
    words = WordPieces()
    manners = [t.en for t in taxonomy.CATEGORIES.values()]
    strokes = [t.en for t in taxonomy.TECHNIQUES.values()]
    for record in _annotate(mixed, tmp_path / "out"):
        assert words.count(record["caption_en"]) <= 32
        assert taxonomy.has_chinese(record["caption_zh"])
        if record["caption_origin"] == "truth":
            continue
        assert words.count(record["caption_en"]) <= captions.LONGEST
        assert any(manner in record["caption_en"] for manner in manners)
        assert any(stroke in record["caption_en"] for stroke in strokes)
        assert record["caption_en"].isascii()


@pytest.mark.parametrize("content", taxonomy.CONTENTS)
def test_every_content_and_technique_makes_a_caption(content: str) -> None:
    words = WordPieces()
    for number, technique in enumerate(taxonomy.TECHNIQUES):
        row = {"id": f"{content}-{number}", "category": list(taxonomy.CATEGORIES)[number % 3], "content": content,
               "technique": technique, "palette": "colour", "season": "autumn", "main": ""}  # fmt: skip
        english, chinese = captions.compose(row, ["mist", "boat"], "silk", words.count)
        assert taxonomy.TECHNIQUES[technique].en in english and taxonomy.CATEGORIES[row["category"]].en in english
        assert taxonomy.CONTENTS[content].en in english
        assert words.count(english) <= captions.LONGEST
        assert taxonomy.TECHNIQUES[technique].zh in chinese
        assert "  " not in english and ", ," not in english


def test_annotating_twice_gives_the_same_files(mixed: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _annotate(mixed, tmp_path / name)
    first, second = ([p.read_bytes() for p in corpus.shards(tmp_path / name)] for name in ("a", "b"))
    assert first == second


def test_what_was_set_aside_before_stays_on_record(mixed: Path, tmp_path: Path) -> None:
    _annotate(mixed, tmp_path / "out")
    assert corpus.rejected(tmp_path / "out") == [Rejected(id="gone", reason="broken")]


@pytest.mark.parametrize(
    ("title", "title_zh", "tags", "kinds"),
    [
        ("Landscape", "", "Mountains; Boats", ["mountain", "boat"]),
        ("Dragon Pine", "", "", ["pine"]),
        ("White Crane Mountain", "", "", ["mountain"]),
        ("", "清 石濤 歸棹圖 冊", "", ["boat"]),
        ("", "明 梅清 雪山圖 軸", "", ["snow", "mountain"]),
        ("", "墨竹图", "", ["bamboo"]),
        ("", "清 王鑑 倣黃公望山水圖 軸 紙本", "", []),
        ("Landscape in the style of Pine Lodge masters", "", "", []),
    ],
)
def test_titles_and_tags_name_elements_and_artists_names_do_not(
    title: str, title_zh: str, tags: str, kinds: list[str]
) -> None:
    assert metadata.elements(title, title_zh, tags) == kinds


@pytest.mark.parametrize(
    ("period", "date", "epoch"),
    [
        ("Qing dynasty (1644–1911)", "", "qing"),
        ("Southern Song dynasty (1127–1279)", "", "pre-qing"),
        ("Ming (1368–1644) or Qing (1644–1911) dynasty", "", ""),
        ("", "dated 1732", "qing"),
        ("", "ca. 1130", "pre-qing"),
        ("Republic period (1912–49)", "", "modern"),
        ("", "19th century", "qing"),
        ("", "", ""),
        ("清", "", "qing"),
    ],
)
def test_periods_and_dates_give_epochs(period: str, date: str, epoch: str) -> None:
    assert metadata.epoch(period, date) == epoch


def test_measures_tell_what_they_are_for() -> None:
    paper = np.full((128, 128, 3), (236, 228, 208), np.uint8)
    thin, thick, coloured = paper.copy(), paper.copy(), paper.copy()
    for k in range(10, 120, 14):
        cv2.line(thin, (8, k), (120, k + 4), (60, 58, 55), 1)
        cv2.line(thick, (8, k), (120, k + 4), (20, 20, 20), 7)
    cv2.circle(coloured, (64, 64), 40, (60, 130, 120), -1)
    a, b, c, blank = (measure.measure(p) for p in (thin, thick, coloured, paper))
    assert a.stroke < b.stroke and a.ink < b.ink and a.white > b.white and a.depth < b.depth
    assert blank.ink < 0.01 and blank.white > 0.99
    assert c.hue == "blue-green" and measure.palette(c) == "blue-green"
    assert measure.palette(a) == measure.palette(b) == "ink"
    assert measure.category(a, "ink") in ("sketch", "freehand")


def test_real_paintings_get_captions_with_the_words_of_brush_captions(shared_data: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    lines = (shared_data / "paintings" / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (few / "images").mkdir(parents=True)
    chosen = lines[1:13] + lines[200:206]
    for line in chosen:
        name = line.split(",")[1]
        (few / name).write_bytes((shared_data / "paintings" / name).read_bytes())
    (few / "metadata.csv").write_text("\n".join([lines[0], *chosen]), encoding="utf-8")
    (tmp_path / "in").mkdir()
    section = presets.override(presets.default(), {"ingest.source": f"folder:{few}"}).ingest
    ingest(out=tmp_path / "in", config=section, monitor=Silent(), scratch=tmp_path / "in")
    records = _annotate(tmp_path / "in", tmp_path / "out")
    assert {r["caption_origin"] for r in records} == {"metadata", "measured"}
    known = {"mountain", "mountains", "tree", "trees", "landscape", "boat", "river", "figure", "horse", "deity", "plum"}
    said = [set(re.findall("[a-z]+", r["caption_en"].lower())) for r in records]
    assert sum(bool(known & words) for words in said) >= len(records) - 3
