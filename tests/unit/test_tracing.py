"""Which of the works that a model was trained on a picture is nearest to."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from danqing import tracing
from danqing.data.brush import compose, paint
from danqing.errors import StorageError
from danqing.pretrained import box
from danqing.tracing import COPY, Works


def jpeg(picture: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer))


CHANGES = {
    "as it is": lambda p: p,
    "as a poor JPEG": jpeg,
    "cut by a twentieth on each side": lambda p: p[6:122, 6:122],
    "larger": lambda p: np.asarray(Image.fromarray(p).resize((300, 300), Image.Resampling.BICUBIC)),
    "faded": lambda p: np.asarray(ImageEnhance.Contrast(Image.fromarray(p)).enhance(0.7)),
    "mirrored": lambda p: p[:, ::-1],
}


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [paint(compose(seed), 128) for seed in range(60)]


@pytest.fixture(scope="module")
def works(pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Works:
    rows = [{"source": "folder", "id": f"w{i}", "title": f"Work {i}", "institution": "A museum", "licence": "CC0-1.0",
             "source_url": f"https://example.org/{i}"} for i in range(40)]  # fmt: skip
    out = tmp_path_factory.mktemp("works")
    assert tracing.write(pictures[:40], rows, out) == 40
    found = Works.load(out)
    assert found is not None
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_traced_to_its_work(pictures: list[np.ndarray], works: Works, change: str) -> None:
    for number in range(0, 40, 4):
        nearest = works.nearest(CHANGES[change](pictures[number]))
        assert nearest[0].work.id == f"w{number}" and nearest[0].similarity > (COPY if "cut" not in change else 0.8)
        assert nearest[0].similarity >= nearest[1].similarity >= nearest[2].similarity


def test_a_picture_that_is_no_copy_is_not_near(pictures: list[np.ndarray], works: Works) -> None:
    assert max(works.nearest(picture)[0].similarity for picture in pictures[40:]) < COPY


def test_what_the_brush_painted_is_nobodys_work(pictures: list[np.ndarray], tmp_path: Path) -> None:
    assert tracing.write(pictures[:1], [{"source": "brush", "id": "b", "title": ""}], tmp_path) == 0
    assert list(tmp_path.iterdir()) == [] and Works.load(tmp_path) is None


def test_a_damaged_index_is_said(works: Works, tmp_path: Path) -> None:
    (tmp_path / tracing.WORKS).write_text('[{"id": "w"}]')
    with pytest.raises(StorageError, match="export the package again"):
        Works.load(tmp_path)


def test_the_model_in_the_box_names_its_works() -> None:
    found = Works.load(box())
    assert found is not None and len(found.works) == 300
    assert all(work.licence == "CC0-1.0" and work.url.startswith("https://") for work in found.works)
