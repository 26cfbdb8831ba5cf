"""The third step: square training pictures, what they show and how they are painted, captions and the split.

Where the brush painter or the catalogue says something, that is taken; where both are silent, the picture is measured.
`caption_origin` says which it was: truth (brush), metadata (the catalogue names what the picture shows), measured.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from danqing import files
from danqing.config import Annotate
from danqing.data import captions, corpus, measure, metadata
from danqing.data.corpus import Record
from danqing.data.crop import Cropped, crop, whole
from danqing.data.split import split
from danqing.monitor import Monitor
from danqing.taxonomy import THEMES
from danqing.wordpieces import WordPieces

MOUNTAINS = 0.25
"""Share of ink above which a landscape of which nothing is known is said to show mountains, as most do."""
FAINT = 0.02
"""Share of coloured pixels below which a caption does not speak of colour."""


def annotate(corpus: Path, *, out: Path, config: Annotate, monitor: Monitor, scratch: Path) -> dict[str, Any]:
    """Write into `out` the corpus with `image` as the square of `config.size` pixels (PNG), captions and split."""
    return _annotate(Path(corpus), Path(out), config, monitor)


def _annotate(source: Path, out: Path, config: Annotate, monitor: Monitor) -> dict[str, Any]:
    rows = corpus.frame(source, ["id", "group", "theme", "screen_theme"])
    # A work that nobody has given a theme is split with the theme that the screening network sees in it.
    themes = [theme or seen or "landscape" for theme, seen in zip(rows["theme"], rows["screen_theme"], strict=True)]
    splits = dict(zip(rows["id"], split(list(rows["group"]), themes), strict=True))
    words = WordPieces()
    tallies: dict[str, Counter[str]] = {"split": Counter(), "caption_origin": Counter(), "crop_rule": Counter()}

    def finished() -> Iterator[Record]:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for number, record in enumerate(_in_order(pool, corpus.read(source), config, words), start=1):
                record["split"] = splits[record["id"]]
                for name, tally in tallies.items():
                    tally[record[name]] += 1
                if number % 50 == 0 or number == len(rows):
                    monitor.progress(number, len(rows), "annotated")
                yield record

    total = corpus.write(out, finished(), corpus.rejected(source))
    corpus.carry_labels(source, out)
    metrics: dict[str, Any] = {"pictures": total, "groups": int(rows["group"].nunique())}
    for name, tally in tallies.items():
        metrics |= {f"{name}_{key}": tally[key] for key in sorted(tally)}
    files.write_json(out / "metrics.json", metrics)
    return metrics


def _in_order(
    pool: ThreadPoolExecutor, records: Iterator[Record], config: Annotate, words: WordPieces
) -> Iterator[Record]:
    block: list[Record] = []
    for record in records:
        block.append(record)
        if len(block) == 128:
            yield from pool.map(lambda r: _record(r, config, words), block)
            block = []
    yield from pool.map(lambda r: _record(r, config, words), block)


def _record(record: Record, config: Annotate, words: WordPieces) -> Record:
    picture = corpus.decode(record["image"])
    if record["caption_origin"] == "truth":
        cropped = whole(picture, config.size)
        return record | _picture_columns(cropped)
    theme = record["theme"] or record["screen_theme"] or "landscape"
    cropped = crop(picture, config.size, heads=theme == "figure")
    seen = measure.measure(cropped.square)
    kinds = metadata.elements(record["title"], record["title_zh"], record["tags"])
    filled = _described(record, theme, kinds, seen)
    others = _others(filled, kinds, seen)
    ground = "silk" if "silk" in record["medium"].lower() or "绢" in record["medium"] else ""
    if not ground:
        paper = "paper" in record["medium"].lower() or "纸" in record["medium"]
        ground = "paper" if paper else "silk" if seen.silk else ""
    faint = filled["palette"] == "colour" and seen.colour < FAINT
    english, chinese = captions.compose(filled | {"palette": ""} if faint else filled, others, ground, words.count)
    named = bool(kinds) or (bool(record["title"] or record["title_zh"]) and bool(record["theme"]))
    return (
        filled
        | _picture_columns(cropped)
        | {
            "caption_en": english,
            "caption_zh": chinese,
            "caption_origin": "metadata" if named else "measured",
            "white_space": seen.white,
        }
    )


def _picture_columns(cropped: Cropped) -> Record:
    size = cropped.picture.shape[0]
    return {
        "image": corpus.encode(np.ascontiguousarray(cropped.picture)), "width": size, "height": size,
        "crop_rule": cropped.rule, "crop": json.dumps(list(cropped.box)),
    }  # fmt: skip


def _described(record: Record, theme: str, kinds: list[str], seen: measure.Measures) -> Record:
    """The record with every vocabulary column filled: what the catalogue states stays, the rest is measured."""
    colours = record["palette"] or measure.palette(seen)
    # "Ink and color" is often a hint of wash: the column keeps the catalogue's word, technique follows the eye.
    visible = "ink" if colours == "colour" and seen.colour < FAINT else colours
    manner = record["category"] or measure.category(seen, visible)
    theme = theme if theme in THEMES else "landscape"
    return record | {
        "theme": theme,
        "subtheme": record["subtheme"] or metadata.subtheme(theme, kinds, f"{record['title']} {record['title_zh']}"),
        "content": record["content"] or _content(theme, kinds, seen),
        "palette": colours,
        "category": manner,
        "technique": record["technique"] or measure.technique(seen, visible, manner, theme),
    }


def _content(theme: str, kinds: list[str], seen: measure.Measures) -> str:
    stated = metadata.content(theme, kinds)
    return stated or ("mountains" if seen.ink > MOUNTAINS else "landscape")


def _others(record: Record, kinds: list[str], seen: measure.Measures) -> list[str]:
    """Further elements for the caption: those of the catalogue first, then mist and water where blank ground shows."""
    found = [kind for kind in kinds if kind != record["main"]]
    if record["theme"] == "landscape" and seen.ink > 0.12:
        if seen.blank_bottom > 0.5 and not {"water", "river"} & set(found):
            found.append("water")
        elif seen.blank_middle > 0.45 and "mist" not in found:
            found.append("mist")
    return found
