"""What is counted of prompts and pictures, what of it reaches the disk, and when it is called drift."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from datetime import date, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from danqing import files, observe, served
from danqing.cli import app
from danqing.data.brush import MAINS, caption, compose, paint
from danqing.errors import ConfigError, StorageError
from danqing.evaluate import drift, drift_report
from danqing.evaluate.drift import DriftConfig
from danqing.observe import Counts
from danqing.served import Served

DAY = date(2026, 11, 24)


def prompts(seeds, **given) -> Counts:
    captions = (caption(compose(s, **{"main": MAINS[s % len(MAINS)], **given}))[0] for s in seeds)
    return observe.count(captions, [])


def seen(counts: Counts, until: date = DAY) -> Served:
    return Served(counts=counts, since="2026-11-01", until=until.isoformat(), broken=0)


@pytest.fixture(scope="module")
def training() -> Counts:
    return prompts(range(1500))


# What is read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "language", "terms"),
    [
        ("a lone boat under misty mountains, freehand", "en",
         {"element": {"boat", "mist", "mountain"}, "category": {"freehand"}}),
        ("墨竹，写意", "zh", {"element": {"bamboo"}, "category": {"freehand"}, "palette": {"ink"}}),
        ("孤舟 with pine trees, thick ink", "mixed", {"element": {"boat", "pine"}, "technique": {"thick ink"}}),
        ("a pagoda in the distance, autumn, in colour", "en",
         {"element": {"pagoda"}, "season": {"autumn"}, "palette": {"colour"}, "place": {"far"}}),
        ("こんにちは", "other", {}),
    ],
)  # fmt: skip
def test_a_prompt_is_read_by_the_taxonomy_in_either_language(prompt, language, terms):
    read = observe.read(prompt)
    assert read.language == language
    assert {name: set(keys) for name, keys in read.terms.items() if keys} == terms


def test_what_is_not_of_the_domain_counts_as_not_understood():
    assert observe.read("a lone boat, freehand").unknown == 0
    assert observe.read("cyberpunk samurai neon city").unknown == 1 == observe.read("!!").unknown
    assert observe.read("孤舟赛博").unknown == pytest.approx(2 / 5)  # "a lone boat" and two characters


def test_measures_say_what_was_drawn():
    paper = np.full((128, 128, 3), 240, np.uint8)
    inked = paper.copy()
    inked[32:96, 32:96] = 20
    red = paper.copy()
    red[:64] = (200, 30, 30)
    blank, black, colour = (observe.measures(p) for p in (paper, inked, red))
    assert blank["white"] == 1 and blank["ink"] == 0 == blank["gradient"]
    assert black["ink"] == pytest.approx(0.25, abs=0.02) == 1 - black["white"]
    assert black["brightness"] < blank["brightness"] and black["gradient"] > 0
    assert colour["colour"] > 5 * max(black["colour"], 0.01)
    larger = np.kron(inked, np.ones((2, 2, 1), np.uint8))
    assert observe.measures(larger) == pytest.approx(black, abs=1e-3)


def test_counts_add_up_and_survive_their_own_form():
    a, b = prompts(range(20)), prompts(range(20, 50))
    both = prompts(range(50))
    a.merge(b)
    assert a == both and Counts.from_dict(json.loads(json.dumps(a.as_dict()))) == both
    for wrong in ({}, [], {"version": 2}, both.as_dict() | {"prompts": -1}, both.as_dict() | {"values": {"place": 3}}):
        with pytest.raises(StorageError, match="no counts"):
            Counts.from_dict(wrong)


def test_values_are_bounded_whatever_comes():
    counts = Counts()
    for k in range(1000):
        counts.add("good", f"model-{k}")
    assert len(counts.values["good"]) == observe.MOST_VALUES + 1 and sum(counts.values["good"].values()) == 1000


# What reaches the disk ------------------------------------------------------------------------------------------------


def test_no_word_of_a_prompt_reaches_the_disk(tmp_path):
    counts = observe.count(["a boat for Zhang Wei, 13 Lotus Road", "秘密的孤舟 zhangwei@example.com"], [])
    served.append(tmp_path, DAY, counts)
    text = "".join(path.read_text() for path in tmp_path.iterdir()).lower()
    assert "boat" in text and "lotus" in text  # terms of the taxonomy
    assert not any(word in text for word in ("zhang", "wei", "13 ", "road", "example", "秘", "舟", "for"))


def test_days_are_read_from_their_files_and_damage_is_left_out(tmp_path):
    one = prompts(range(10))
    for k in range(3):
        assert served.append(tmp_path, DAY + timedelta(days=k), one)
        assert served.append(tmp_path, DAY + timedelta(days=k), one)
    whole = served.read(tmp_path)
    assert whole.counts.prompts == 60 and (whole.since, whole.until) == ("2026-11-24", "2026-11-26")
    path = next(p for p in tmp_path.iterdir() if p.name.startswith("2026-11-25"))
    path.write_bytes(path.read_bytes()[:-20])  # killed while it was writing
    served.append(tmp_path, DAY + timedelta(days=1), one)
    assert served.read(tmp_path).counts.prompts == 60 and served.read(tmp_path).broken == 1
    assert served.read(tmp_path, since=DAY + timedelta(days=2)).counts.prompts == 20
    with pytest.raises(StorageError, match="nothing was counted"):
        served.read(tmp_path, until=DAY - timedelta(days=1))
    with pytest.raises(StorageError, match="DANQING_GATEWAY_RECORDS"):
        served.read(tmp_path / "elsewhere")


def _write_for_ever(folder, started):
    counts = prompts(range(3))
    while True:
        served.append(folder, DAY, counts)
        started.value += 1


def test_a_writer_that_is_killed_breaks_nothing(tmp_path):
    for _ in range(3):
        started = multiprocessing.Value("i", 0)
        writer = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path, started))
        writer.start()
        while started.value < 20:
            time.sleep(0.001)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    found = served.read(tmp_path)
    assert found.counts.prompts >= 3 * 20 * 3 and found.counts.prompts % 3 == 0 and found.broken <= 3


def test_files_are_bounded_in_size_and_age(tmp_path, monkeypatch):
    counts = prompts(range(3))
    monkeypatch.setattr(served, "MOST_BYTES", 2000)
    fitted = [served.append(tmp_path, DAY, counts) for _ in range(10)]
    assert fitted[0] and not fitted[-1]
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 2000
    for k in range(5):
        served.append(tmp_path, DAY - timedelta(days=k), counts)
    (tmp_path / "notes.txt").write_text("not ours")
    assert served.prune(tmp_path, DAY, keep_days=3) == 2
    assert served.read(tmp_path).since == "2026-11-22" and (tmp_path / "notes.txt").exists()
    monkeypatch.setattr(served, "MOST_FILES", 1)
    served.prune(tmp_path, DAY, keep_days=3)
    assert served.read(tmp_path).since == DAY.isoformat()


# When it is drift -----------------------------------------------------------------------------------------------------


def test_chance_alone_raises_no_alarm(training):
    """At threshold 0 the floor alone decides: one of a hundred reports may cross it."""
    alarms = [
        drift.compare(training, seen(prompts(range(10_000 + 300 * k, 10_300 + 300 * k))),
                      DriftConfig(threshold=0, ignore=(), seed=k)).reasons
        for k in range(15)
    ]  # fmt: skip
    assert not any(alarms)


def test_the_floor_keeps_its_word_where_both_samples_are_of_one_distribution():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(25))
    for measure in ("js", "ks"):
        a, b = rng.multinomial(2000, p, size=400), rng.multinomial(200, p, size=400)
        values = drift.distance(measure, a, b)
        floors = np.array([drift._floor(measure, x, y, 0.05, rng) for x, y in zip(a[:60], b[:60], strict=True)])
        assert (values[:60] > floors).mean() < 0.16  # 3 of 60 are expected; 10 would come once in 3,000 times
        assert (values > np.median(floors)).any()  # and it is no larger than it must be


def test_another_wish_is_drift_with_its_reason_and_the_rest_is_none(training):
    found = drift.compare(training, seen(prompts(range(20_000, 20_400), main="fish", season="winter")), DriftConfig())
    drifted = {name for name, a in found.attributes.items() if a.drifted}
    assert found.drifted and "element" in drifted and "season" in drifted and "unknown" not in drifted
    reason = next(r for r in found.reasons if r.startswith("element"))
    assert "most of all fish" in reason and found.since == "2026-11-24"
    quiet = drift.compare(training, seen(prompts(range(20_000, 20_400), main="fish", season="winter")),
                          DriftConfig(ignore=tuple(drifted)))  # fmt: skip
    assert not quiet.drifted and quiet.since is None and quiet.attributes["element"].value is not None


def test_prompts_that_are_not_understood_are_drift(training):
    strange = observe.count(["neon samurai driving sports cars", "赛博朋克都市"] * 150, [])
    found = drift.compare(training, seen(strange), DriftConfig())
    assert any(reason.startswith("unknown of prompts") for reason in found.reasons)


def test_darker_pictures_are_drift_of_pictures_only():
    pictures = [paint(compose(10_000 + i, main=MAINS[i % len(MAINS)]), 64) for i in range(130)]
    known, darker = Counts(), Counts()
    for picture in pictures:
        known.add_picture(picture)
        darker.add_picture((picture * 0.5).astype(np.uint8))
    config = DriftConfig(min_prompts=100)
    found = drift.compare(known, seen(darker), config)
    assert found.drifted and all("of pictures" in reason for reason in found.reasons)
    assert any(reason.startswith("brightness") for reason in found.reasons)
    assert not drift.compare(known, seen(known), config).drifted
    assert found.attributes["gradient"].value is not None and not found.attributes["gradient"].drifted  # told alone


def test_too_few_prompts_say_nothing(training):
    found = drift.compare(training, seen(prompts(range(20_000, 20_199), main="fish")), DriftConfig())
    assert not found.drifted and all(a.value is None for a in found.attributes.values())
    assert "too few to tell" in drift_report.answer(found)


def test_a_drift_that_goes_on_keeps_its_day(training):
    fish, all_sorts = prompts(range(20_000, 20_400), main="fish"), prompts(range(30_000, 30_400))

    def next_report(counts, day, last):
        return drift.as_dict(drift.compare(training, seen(counts, day), DriftConfig(), last))

    first = next_report(fish, DAY, None)
    later = next_report(fish, DAY + timedelta(days=7), first)
    over = next_report(all_sorts, DAY + timedelta(days=14), later)
    again = next_report(fish, DAY + timedelta(days=21), over)
    assert [r["since"] for r in (first, later, over, again)] == ["2026-11-24", "2026-11-24", None, "2026-12-15"]


def test_distances_at_their_ends():
    a, b = np.array([[10, 0, 0]]), np.array([[0, 0, 7]])
    for measure in ("js", "ks"):
        assert drift.distance(measure, a, b) == pytest.approx(1) and drift.distance(measure, a, a) == pytest.approx(0)
    half = np.array([[5, 5, 0]])
    assert drift.distance("ks", a, half) == pytest.approx(0.5)
    assert drift.distance("js", a, half) ** 2 == pytest.approx(0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25)
    # (0.5, 0.5) against (0.9, 0.1): 0.4 ln 1.8 + 0.4 ln 5
    index = drift.stability(np.array([50_000, 50_000]), np.array([90_000, 10_000]))
    assert index == pytest.approx(0.4 * np.log(1.8) + 0.4 * np.log(5), abs=1e-3)


@pytest.mark.parametrize("wrong", [{"threshold": 1}, {"alpha": 0}, {"min_prompts": 5}, {"ignore": ("mood",)}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"drift\."):
        DriftConfig(**wrong)


def test_the_command_writes_what_the_trigger_reads(tmp_path, tiny_corpus):
    from danqing.platform import trigger

    folder, out = tmp_path / "served", tmp_path / "out"
    counts = prompts(range(20_000, 20_300), main="fish")
    counts.merge(prompts([]))
    served.append(folder, DAY, counts)
    arguments = ["drift", "--served", str(folder), "--out", str(out), "--until", "2026-11-30"]
    done = CliRunner().invoke(app, [*arguments, "--corpus", str(tiny_corpus)])
    assert done.exit_code == 0 and "There is drift since 2026-11-24" in done.output
    report = files.read_json(out / "drift.json")
    assert report["drifted"] is True and report["since"] == "2026-11-24" and report["prompts"] == 300
    assert report["window"] == {"since": "2026-11-24", "until": "2026-11-24"}
    assert {"value", "floor", "psi", "served", "reference", "drifted"} <= set(report["attributes"]["element"])
    cause = trigger.drifted(str(out / "drift.json"))
    assert cause is not None and cause.key == "2026-11-24" and "element of prompts" in cause.why
    page, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    assert "most of all fish" in page and "fish" in text and "<script" not in page
    again = CliRunner().invoke(app, [*arguments, "--corpus", str(out / "reference.json")])
    assert again.exit_code == 0
    assert files.read_json(out / "drift.json")["attributes"] == report["attributes"]
    for wrong in (["--since", "2026-13-01"], ["--since", "2026-12-24"], ["--set", "drift.treshold=0.1"]):
        failed = CliRunner().invoke(app, [*arguments, "--corpus", str(tiny_corpus), *wrong])
        assert failed.exit_code == 2 and "Traceback" not in failed.output
