"""The model on paper of what many pictures cost: its sums by hand, its units, and that the page says what it says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks import scale, scale_page
from benchmarks.scale_model import (
    GB,
    Assumed,
    Kind,
    Measured,
    annotate,
    bends_at,
    dedupe_seconds,
    epochs,
    evaluate,
    gpus_for,
    here,
    ingest,
    predict,
    read_measured,
    screen,
    shards,
    train,
)
from danqing import files, presets
from danqing.data.phash import bands

KIND = Kind(name="round", source_bytes=2e5, stored_bytes=1e5, trained_bytes=3e4, size=128, check=0.02, shrink=0.004,
            annotate=0.01, load=0.001)  # fmt: skip
STEPS = ("ingest", "screen", "annotate")
MEASURED = Measured(
    machine="none", cores=2, fixed=dict.fromkeys(STEPS, 1.0), serial=dict.fromkeys(STEPS, 0.001), judge=0.005,
    negative=0.002, row_bytes=1000, sort=1e-8, write_rate=1e8, hash_rate=1e9,
    flops={"gpu": {"tokenizer": 1e10, "tokenizer_more": 0.0, "tokenizer_weights": 1e6, "painter": 1e11,
                   "painter_more": 0.0, "painter_weights": 1e7, "clip": 1e10, "clip_weights": 1e6}},
)  # fmt: skip
A = Assumed(cores=16, network=1e9)


def costs(n: int, **changed: object) -> dict[str, object]:
    return {c.step: c for c in predict(n, KIND, MEASURED, replace(A, **changed))}  # type: ignore[arg-type]


def test_ingest_by_hand() -> None:
    """A million pictures, 8 threads: 2,500 s to check, 1,000 of books, 2,000 to write 100 GB twice, 1 to begin."""
    cost = ingest(10**6, KIND, MEASURED, A)
    alike = math.comb(bands(10**6, 4), 4) * 10**6 * math.log2(10**6 + 2) * 1e-8
    assert cost.seconds == pytest.approx(1 + 2500 + 1000 + 2000 + alike)
    assert cost.cores_seconds == pytest.approx(1 + 20_000 + 1000 + 2000 + alike)
    assert cost.written == pytest.approx(100 * GB) and cost.fetched == pytest.approx(200 * GB)
    assert cost.objects == 1954 + 4 and shards(512) == 1 and shards(513) == 2
    assert cost.memory == pytest.approx(1e9 + 512 * 1e5)


def test_a_museum_is_asked_no_faster_than_is_polite() -> None:
    cost = ingest(10**6, KIND, MEASURED, A, museum=True)
    assert cost.seconds == pytest.approx(10**6) and cost.requests == 2e6  # two requests a picture, two a second


def test_annotate_and_screen_by_hand() -> None:
    cost = annotate(10**5, KIND, MEASURED, A)
    # 1 + 10^5 · (10 ms / 16 + 1 ms), 3 GB packed at 100 MB/s, 10 GB hashed at 1 GB/s and fetched at 1 GB/s
    assert cost.seconds == pytest.approx(1 + 62.5 + 100 + 30 + 10 + 10)
    line = presets.preset("gpu")
    seen = screen(10**5, KIND, MEASURED, replace(A, gpus=False), line)
    # shrink 400 s, 25,000 negatives 50 s, judge 500 s of two cores on 16, books 100, write 100, hash 10
    assert seen.seconds == pytest.approx(1 + 400 + 50 + 500 * 2 / 16 + 100 + 100 + 10) and seen.gpus == 0
    assert screen(10**5, KIND, MEASURED, A, line).gpu_seconds > 0


def test_training_by_hand() -> None:
    n, batch = 15_000, presets.preset("gpu").painter.batch
    cost = train("train_painter", n, KIND, MEASURED, A, "gpu")
    steps = math.ceil(12_000 * 100 / batch)
    assert cost.gpu_seconds == pytest.approx(steps * batch * 1e11 / (67e12 * 0.3))
    # per picture: twice 128·128·3, a row, codes (2·256 + 64 of 8 bytes), text features (32·384 of 2 bytes)
    assert cost.memory == pytest.approx(12_000 * (2 * 49_152 + 1000 + 8 * 576 + 2 * 32 * 384))
    assert cost.parts["train"] == pytest.approx(max(cost.gpu_seconds, 0.02 * steps))
    assert cost.parts["load"] == pytest.approx(12.0)
    assert epochs(15_000, A) == 100 and epochs(60_000, A) == 50 and epochs(10**9, A) == 3


def test_more_gpus_only_where_the_deadline_asks_for_them() -> None:
    day = 86400.0
    assert gpus_for(6 * day, A) == (1, 6 * day)
    count, seconds = gpus_for(40 * day, A)
    assert count == 8 and seconds == pytest.approx(40 * day / (8 * 0.9))
    assert gpus_for(300 * day, A)[0] == 64


def test_bytes_are_conserved_from_step_to_step() -> None:
    for n in (1, 1000, 10**7):
        found = {c.step: c for c in predict(n, KIND, MEASURED, A)}
        assert found["screen"].read == 2 * found["ingest"].written  # once to learn, once to copy
        assert found["screen"].written == found["ingest"].written == found["annotate"].read
        for step in ("train_tokenizer", "train_clip", "train_painter"):
            assert found[step].read == found["annotate"].written
        assert found["evaluate"].read == 2 * found["annotate"].written


@pytest.mark.parametrize("field", ["seconds", "cores_seconds", "gpu_seconds", "memory", "read", "written", "objects"])
def test_more_pictures_never_cost_less(field: str) -> None:
    sizes = [1, 10, 100, 1000, 3000, 10**4, 10**5, 10**6, 10**7, 10**8]
    for step in costs(1):
        values = [getattr(costs(n)[step], field) for n in sizes]
        if field == "seconds" and step.startswith("train"):  # eight times the GPUs may end sooner
            values = [getattr(costs(n, deadline=math.inf)[step], field) for n in sizes]
        assert values == sorted(values), step


def test_better_machines_never_take_longer() -> None:
    before = costs(10**6)
    for better in ({"cores": 32}, {"network": 2e9}, {"tflops": 989.0}, {"utilisation": 0.6}, {"by_eight": 1.0}):
        after = costs(10**6, **better)
        assert all(after[step].seconds <= cost.seconds + 1e-6 for step, cost in before.items()), better  # type: ignore[attr-defined]


def test_units_scale_as_they_should() -> None:
    """Twice the bytes a picture: twice the bytes everywhere, and no second of checking more."""
    double = replace(KIND, source_bytes=4e5, stored_bytes=2e5, trained_bytes=6e4)
    for one, two in zip(predict(10**5, KIND, MEASURED, A), predict(10**5, double, MEASURED, A), strict=True):
        assert two.read == 2 * one.read and two.fetched == 2 * one.fetched and two.objects == one.objects
        assert {k: v for k, v in one.parts.items() if k in ("check", "annotate", "load", "shrink")} == {
            k: v for k, v in two.parts.items() if k in ("check", "annotate", "load", "shrink")
        }
    assert evaluate(10**5, KIND, MEASURED, A).memory > train("train_clip", 10**5, KIND, MEASURED, A, "gpu").memory


def test_the_search_for_look_alikes_is_no_longer_quadratic() -> None:
    assert dedupe_seconds(10**8, MEASURED) < 1000 * dedupe_seconds(10**6, MEASURED)


def test_a_bend_is_found_where_it_is() -> None:
    assert bends_at(lambda n: n >= 12_345) == pytest.approx(12_345, rel=0.02)
    assert bends_at(lambda n: False) is None and bends_at(lambda n: True, most=10**6) <= 2  # type: ignore[operator]
    with pytest.raises(ValueError, match="0 pictures"):
        predict(0, KIND, MEASURED, A)


def test_numbers_are_said_with_their_units() -> None:
    assert [scale_page.duration(s) for s in (0.5, 90, 7200, 200_000, 1e9)] == [
        "0.5 s",
        "90 s",
        "2 h",
        "2.3 days",
        "32 years",
    ]
    assert [scale_page.amount(b) for b in (5, 3e4, 1e12)] == ["5 B", "30 kB", "1 TB"]
    assert scale_page.number(1_234_567) == "1.2 · 10^6" and scale_page.number(None) == "never"
    assert all(source for _, _, source in scale_page.described(Assumed()))


def test_the_page_is_the_one_that_the_results_make() -> None:
    """Run python -m benchmarks.scale_page after a change of results or model."""
    assert scale_page.OUT.read_text(encoding="utf-8") == scale_page.page(files.read_json(scale.STORED))


def test_what_was_measured_is_what_the_model_needs() -> None:
    measured, kinds = read_measured(files.read_json(scale.STORED))
    assert set(kinds) == {"tiny", "painting"} and {"gpu", "paper"} <= set(measured.flops)
    for preset in measured.flops:
        assert all(cost.seconds > 0 for cost in predict(10**6, kinds["painting"], measured, Assumed(), preset=preset))
    assert set(here(measured, kinds["tiny"], 1000, scale.LINE)) == set(scale.SIZES)


def test_a_step_is_measured_in_a_process_of_its_own() -> None:
    ((seconds, memory),) = scale.measure(30, ("ingest",)).values()
    assert seconds > 0 and memory >= 0
