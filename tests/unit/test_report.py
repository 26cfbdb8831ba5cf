"""The report stands alone: no address but its own, every figure beside its yardstick, everything escaped."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from danqing.evaluate import charts, grids, report
from danqing.evaluate.findings import Findings, Neighbour

NUMBERS = {
    "pictures": 24, "seed": 3, "reference": 100, "reconstructed": 24, "psnr": 24.5, "ssim": 0.9, "line_energy": 0.8,
    "line_correlation": 0.7, "spectrum_ratio": 0.6, "kernel_distance": 0.02, "kernel_distance_sd": 0.005,
    "kernel_floor": 0.001, "kernel_floor_sd": 0.004, "kernel_subsets": 100, "kernel_subset_size": 12,
    "reconstruction_kernel_distance": 0.01, "frechet_distance": 220.0, "frechet_floor": 130.5, "clip_cosine": 0.31,
    "clip_cosine_shuffled": 0.05, "clip_cosine_real": 0.4, "clip_score": 0.78, "match_margin": 0.26,
    "match_margin_real": 0.35, "match_effect": 1.5, "match_p": 0.0005, "match_p_least": 0.0005, "permutations": 2000,
    "probe_accuracy": 0.97, "probe_reconstruction": 0.95, "probe_hit_rate": 0.66, "probe_chance": 0.11,
    "probe_pictures": 24, "nearest_neighbour": 0.2, "nearest_neighbour_real": 0.22, "nearest_neighbour_pixels": 20,
    "nearest_neighbour_pixels_real": 21, "suspects": 0.0, "global_usage": 0.93, "detail_usage": 1.0,
}  # fmt: skip


@pytest.fixture
def findings() -> Findings:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    found = Findings(extractor="EfficientNet-Lite0 (ImageNet weights), 1280 pooled features at 128 px")
    for name, value in NUMBERS.items():
        found.note(name, value)
    found.about = {"Pictures": "24 prompts", "Floor": "24 real pictures"}
    found.samples, found.prompts = pictures, ["a boat", "<script>alert(1)</script>", 'a "quoted" pine & a hut', "山水"]
    found.seeds = [3, 4, 5, 6]
    found.originals, found.reconstructions = pictures, pictures[::-1]
    found.neighbours = [Neighbour(painted=pictures[0], training=pictures[1], prompt="a boat", distance=0.12)]
    found.null = np.random.default_rng(1).normal(0.05, 0.01, 2000)
    found.curves = {"tokenizer": {"loss": [(10.0, 2.0), (20.0, 1.0)]}, "clip": {}, "painter": {"loss": [(1.0, 5.0)]}}
    return found


class _Page(HTMLParser):
    VOID = ("meta", "img", "link", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_asks_for_nothing_from_elsewhere(findings: Findings) -> None:
    text = report.html(findings)
    assert not re.search(r"(?i)https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    page = _Page(text)
    assert page.open == []
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "link", "iframe", "object", "embed"}
    assert all(str(attrs["src"]).startswith("data:image/png;base64,") for tag, attrs in page.tags if tag == "img")
    assert any(tag == "meta" and attrs.get("name") == "viewport" for tag, attrs in page.tags), "it is read on phones"


def test_its_pictures_are_whole_and_enlarged_by_whole_numbers(findings: Findings) -> None:
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', report.html(findings))
    assert len(sources) == 4 + 4 + 4 + 2
    for source in sources:
        assert Image.open(io.BytesIO(base64.b64decode(source))).size in {(192, 192), (128, 128)}


def test_prompts_are_shown_and_escaped(findings: Findings) -> None:
    text = report.html(findings)
    assert "<script" not in text
    words = " ".join(_Page(text).words)
    for prompt in findings.prompts:
        assert prompt in words


@pytest.mark.parametrize("write", [report.html, report.markdown])
def test_every_distance_stands_beside_its_floor_extractor_and_count(findings: Findings, write) -> None:  # type: ignore[no-untyped-def]
    text = write(findings)
    for piece in ("EfficientNet-Lite0 Fréchet distance", "EfficientNet-Lite0 kernel distance", "220.0", "130.5",
                  "24 against 100 training pictures", "1280 pooled features at 128 px", "seed 3"):  # fmt: skip
        assert piece in text
    assert not re.search(r"\b(FID|KID)\b", text), "that name belongs to Inception's features"


@pytest.mark.parametrize("write", [report.html, report.markdown])
def test_what_was_not_measured_is_named_with_its_reason(findings: Findings, write) -> None:  # type: ignore[no-untyped-def]
    del findings.metrics["probe_hit_rate"]
    findings.note("probe_hit_rate", None, "nobody knows what the pictures show")
    findings.note("psnr", float("nan"))
    text = write(findings)
    assert "nobody knows what the pictures show" in text
    assert "Main element found" not in text


@pytest.mark.parametrize("write", [report.html, report.markdown])
def test_the_use_of_both_codebooks_is_told(findings: Findings, write) -> None:  # type: ignore[no-untyped-def]
    text = write(findings)
    assert "Codes in use, global and detail" in text and "93.0 %, 100.0 %" in text


def test_figures_that_are_no_numbers_never_reach_the_metrics() -> None:
    found = Findings()
    for value in (float("nan"), float("inf"), None):
        found.note("broken", value)
    found.note("fine", np.float32(0.5))
    assert json.dumps(found.metrics, allow_nan=False) == '{"fine": 0.5}'
    assert set(found.omitted) == {"broken"}


def test_an_empty_evaluation_still_makes_a_page() -> None:
    assert _Page(report.html(Findings())).open == []
    assert report.markdown(Findings()).startswith("# danqing")


def test_the_same_findings_make_the_same_bytes(findings: Findings) -> None:
    assert report.html(findings) == report.html(findings)


def test_markdown_rows_have_as_many_cells_as_their_heading(findings: Findings) -> None:
    rows = [line for line in report.markdown(findings).splitlines() if line.startswith("|")]
    assert rows and {row.count("|") for row in rows} == {5}


def test_curves_are_read_with_gaps_and_without_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "curves.csv"
    assert charts.read_curves(path) == {}
    path.write_text("step,loss,psnr\n10,2.5,\n20,1.5,21\n30,nan,22\n", encoding="utf-8")
    assert charts.read_curves(path) == {"loss": [(10, 2.5), (20, 1.5)], "psnr": [(20, 21), (30, 22)]}


def test_chart_points_stay_inside_the_drawing() -> None:
    for values in ([(0.0, -5.0), (10.0, 1e4)], [(3.0, 2.0)], [(0.0, 1.0), (5.0, 1.0)]):
        drawing = charts.lines("t", {"loss": values})
        for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(re.findall(r'points="([^"]+)"', drawing))):
            assert 0 <= float(x) <= charts.WIDTH and 0 <= float(y) <= charts.HEIGHT


def test_a_sheet_shows_every_picture_and_its_words() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    bare = grids.sheet([pictures], [""] * 5, columns=4)
    words = grids.sheet([pictures], ["a boat under misty mountains"] * 5, columns=4)
    assert bare.shape == words.shape
    assert (bare != words).any()
    assert bare.shape[1] > 4 * 192
    assert tuple(bare[0, 0]) == grids.PAPER


def test_long_captions_end_in_an_ellipsis_inside_their_width() -> None:
    rows = grids.wrap("a very long prompt that goes on about pines and mist " * 5, 190, 15, 3)
    assert len(rows) == 3 and rows[-1].endswith("…")
    assert all(grids.font(15).getlength(row) <= 190 for row in rows)
    assert grids.wrap("", 190, 15, 3) == []
    assert grids.wrap("short", 190, 15, 3) == ["short"]
