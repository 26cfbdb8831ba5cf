"""The crop rule (Eq. 2-5) and the removal of mounts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from danqing.data import crop as rule
from danqing.data.mount import painted_area

PAPER = (232, 224, 204)


def _paper(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 2, (height, width, 1))
    return np.clip(np.array(PAPER) + noise, 0, 255).astype(np.uint8)


def _blob(picture: np.ndarray, x: int, y: int, radius: int) -> np.ndarray:
    cv2.circle(picture, (x, y), radius, (40, 38, 36), -1)
    return picture


def test_equation_2_is_the_area_of_a_polygon() -> None:
    assert rule.shoelace(np.array([[0, 0], [4, 0], [4, 3], [0, 3]])) == 12
    triangle = np.array([[1, 1], [5, 1], [1, 4]])
    assert rule.shoelace(triangle) == rule.shoelace(triangle[::-1]) == 6
    contour = cv2.ellipse2Poly((50, 50), (30, 20), 0, 0, 360, 5)
    assert rule.shoelace(contour) == pytest.approx(cv2.contourArea(contour))


def test_equations_3_to_5() -> None:
    assert rule.scale_to((64, 64), (128, 256)) == 0.25
    assert rule.scale_to((64, 64), (32, 16)) == 2
    assert rule.padding((64, 64), (32, 64)) == (16, 0)
    assert rule.centre((100, 60), (60, 60)) == (20, 0)


def test_a_large_subject_is_cropped_to() -> None:
    picture = _blob(_paper(400, 800), 620, 200, 130)
    got = rule.crop(picture, 64)
    assert got.rule == "subject"
    assert got.picture.shape == (64, 64, 3)
    x0, y0, x1, y1 = got.box
    assert x1 - x0 == y1 - y0 <= 400
    assert x0 <= 492 and x1 >= 748  # the whole blob is inside
    assert x0 >= 0 and x1 <= 800 and y0 >= 0 and y1 <= 400


def test_a_small_subject_is_scaled_up_with_the_ground_around_it() -> None:
    got = rule.crop(_blob(_paper(300, 300), 90, 200, 24), 64)
    assert got.rule == "pad"
    x0, y0, x1, y1 = got.box
    assert x0 <= 66 and x1 >= 114 and y0 <= 176 and y1 >= 224


def test_padding_beyond_the_picture_has_the_tone_of_its_paper_and_is_not_black() -> None:
    picture = _blob(_paper(40, 120), 60, 20, 16)
    square = rule.cut(picture, (0, -40, 120, 80), rule.ground_tone(picture))
    assert square.shape == (120, 120, 3)
    outside = np.concatenate([square[:38], square[-38:]]).reshape(-1, 3)
    assert np.abs(outside.mean(axis=0) - PAPER).max() < 4
    assert outside.min() > 180
    assert outside.std() > 0.3, "paper has a grain"
    np.testing.assert_array_equal(square[40:80], picture)


def test_an_empty_picture_is_cropped_at_its_centre() -> None:
    got = rule.crop(_paper(200, 300), 64)
    assert got.rule == "centre"
    assert got.box == (50, 0, 250, 200)


def test_of_a_long_scroll_the_square_with_most_of_the_subject_is_taken() -> None:
    picture = _blob(_paper(200, 1600), 1300, 100, 80)
    x0, _, x1, _ = rule.crop(picture, 64).box
    assert x0 <= 1220 and x1 >= 1380


def test_a_column_of_writing_is_not_the_subject() -> None:
    picture = _paper(400, 800)
    for y in range(20, 380, 22):
        for x in range(30, 160, 26):
            cv2.putText(picture, "x", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (20, 20, 20), 2)
    _blob(picture, 620, 220, 110)
    x0, _, x1, _ = rule.crop(picture, 64).box
    assert x0 > 160 and x1 >= 725


def test_of_a_tall_figure_the_head_is_kept() -> None:
    picture = _paper(900, 300)
    cv2.ellipse(picture, (150, 480), (110, 380), 0, 0, 360, (60, 60, 110), -1)
    _, y0, _, _ = rule.crop(picture, 64, heads=True).box
    _, middle, _, _ = rule.crop(picture, 64).box
    assert y0 < middle - 100


@pytest.mark.parametrize("mount", [(250, 250, 250), (120, 120, 120), (30, 30, 30), (150, 120, 70)])
def test_a_mount_round_the_painting_comes_off(mount: tuple[int, int, int]) -> None:
    inner = _blob(_blob(_paper(300, 260), 130, 160, 70), 200, 240, 40)
    picture = np.full((420, 360, 3), mount, np.uint8)
    picture[70:370, 50:310] = inner
    x0, y0, x1, y1 = painted_area(picture)
    assert 46 <= x0 <= 62 and 66 <= y0 <= 82
    assert 298 <= x1 <= 314 and 358 <= y1 <= 374


def test_a_painting_without_a_mount_stays_whole() -> None:
    picture = _paper(300, 400)
    cv2.fillPoly(picture, [np.array([[0, 299], [120, 90], [210, 200], [330, 60], [399, 299]])], (70, 70, 70))
    assert painted_area(picture) == (0, 0, 400, 300)


def test_of_a_round_fan_the_square_inside_is_taken() -> None:
    picture = np.full((300, 300, 3), 245, np.uint8)
    cv2.circle(picture, (150, 150), 130, (140, 110, 70), -1)
    x0, y0, x1, y1 = painted_area(picture)
    assert min(x0, y0) >= 150 - 0.75 * 130 and max(x1, y1) <= 150 + 0.75 * 130
    assert (x1 - x0) > 140
    assert np.abs(picture[y0:y1, x0:x1].astype(int) - (140, 110, 70)).max() < 40


def test_a_scan_without_colour_is_printed_on_paper_tone_and_a_coloured_one_is_not_touched() -> None:
    grey = np.repeat(_paper(200, 200).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    toned = rule.on_paper(grey)
    assert (toned[..., 0] > toned[..., 2]).all()
    coloured = _paper(200, 200)
    assert rule.on_paper(coloured) is coloured


def test_a_brush_scene_is_never_cut_at_its_subject() -> None:
    picture = _blob(_paper(96, 96), 70, 70, 20)
    got = rule.whole(picture, 64)
    assert got.rule == "centre" and got.box == (0, 0, 96, 96)


def test_real_paintings_give_full_squares_without_black_borders(shared_data) -> None:  # type: ignore[no-untyped-def]
    files = sorted((shared_data / "paintings" / "images").iterdir())[::30]
    for file in files:
        picture = cv2.imread(str(file))[..., ::-1]
        got = rule.crop(np.ascontiguousarray(picture), 64)
        assert got.picture.shape == (64, 64, 3)
        x0, y0, x1, y1 = got.box
        assert 0 <= x0 < x1 <= picture.shape[1] and 0 <= y0 < y1 <= picture.shape[0], file.name
        assert x1 - x0 == y1 - y0
