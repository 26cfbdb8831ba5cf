"""A step is remembered by everything that it depends on, and by nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from danqing import config, files, steps
from danqing.errors import ConfigError

CALLS: list[str] = []


def toy(corpus: Path, *, out: Path, config: Any, monitor: Any, scratch: Path) -> dict[str, float]:
    CALLS.append("toy")
    (scratch / "seen").write_text("x")
    if config.lr == 13.0 and len(CALLS) == 1:
        raise RuntimeError("killed")
    files.write_text(out / "result", (corpus / "x").read_text())
    return {"value": config.lr}


@pytest.fixture(autouse=True)
def toy_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    CALLS.clear()
    step = steps.Step(name="toy", section="clip", function=f"{__name__}:toy", inputs={"corpus": "ingest"})
    monkeypatch.setitem(steps.STEPS, "toy", step)
    museum = steps.Step(name="museum", section="ingest", function=f"{__name__}:fetching", inputs={"corpus": "ingest"})
    monkeypatch.setitem(steps.STEPS, "museum", museum)
    monkeypatch.setenv("DANQING_MEMO", str(tmp_path / "memo"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_text("1")


def run(tmp_path: Path, out: str = "out", **changes: Any) -> steps.Outcome:
    section = dataclasses.replace(config.ClipTraining(), **changes)
    return steps.run("toy", section, {"corpus": tmp_path / "in"}, tmp_path / out)


def test_the_same_step_is_not_run_twice(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path, "again")
    assert CALLS == ["toy"]
    assert (first.reused, second.reused) == (False, True)
    assert first.metrics == second.metrics == {"value": config.ClipTraining().lr}
    assert files.fingerprint(tmp_path / "out") == files.fingerprint(tmp_path / "again")


def test_a_changed_configuration_or_input_runs_it_again(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, lr=0.5)
    (tmp_path / "in" / "x").write_text("2")
    assert run(tmp_path).reused is False
    assert (tmp_path / "out" / "result").read_text() == "2"
    assert len(CALLS) == 3


def test_a_new_word_runs_it_again_once_and_leaves_what_is_remembered(tmp_path: Path) -> None:
    def forced(out: str, rerun: str) -> bool:
        inputs = {"corpus": tmp_path / "in"}
        return steps.run("toy", config.ClipTraining(), inputs, tmp_path / out, rerun=rerun).reused

    assert run(tmp_path).reused is False
    assert forced("one", "monday") is False
    assert forced("two", "monday") is True, "a step that is tried again goes on with the same word"
    assert forced("three", "tuesday") is False
    assert run(tmp_path, "four").reused is True
    assert len(CALLS) == 3


def test_what_is_changed_in_an_output_does_not_reach_the_memory(tmp_path: Path) -> None:
    run(tmp_path)
    files.write_text(tmp_path / "out" / "result", "spoilt")
    assert not (tmp_path / "out" / steps._MARK).stat().st_mode & 0o222, "nor can it be edited in place by mistake"
    run(tmp_path, "again")
    assert (tmp_path / "again" / "result").read_text() == "1"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not empty and no step wrote it"):
        run(tmp_path, "mine")
    for inside in ("in", ".", "in/deeper"):
        with pytest.raises(ConfigError, match="would overwrite what step toy reads as corpus"):
            run(tmp_path, inside)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert run(tmp_path, "out").reused is False
    assert run(tmp_path, "out").reused is True, "its own folder a step may write again"


def test_whoever_comes_second_waits_and_reuses(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda out: run(tmp_path, out, lr=7.0).reused, ("one", "two")))
    assert sorted(outcomes) == [False, True]
    assert CALLS == ["toy"]


def test_a_failed_step_keeps_its_scratch_and_remembers_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        run(tmp_path, lr=13.0)
    assert list((tmp_path / "memo").rglob("scratch/seen"))
    assert run(tmp_path, lr=13.0).reused is False
    assert not list((tmp_path / "memo").rglob("scratch"))


def test_a_source_outside_this_program_is_asked_each_time_but_a_killed_run_goes_on(tmp_path: Path) -> None:
    def fetch() -> steps.Outcome:
        return steps.run(
            "museum", config.Ingest(source="museum", count=13), {"corpus": tmp_path / "in"}, tmp_path / "out"
        )

    with pytest.raises(RuntimeError, match="killed"):
        fetch()
    assert fetch().metrics == {"left by the killed run": 1.0}
    assert fetch().metrics == {"left by the killed run": 0.0}, "what a finished run had fetched is fetched anew"


def fetching(corpus: Path, *, out: Path, config: Any, monitor: Any, scratch: Path) -> dict[str, float]:
    CALLS.append("fetching")
    left = float((scratch / "half").exists())
    (scratch / "half").touch()
    if len(CALLS) == 1:
        raise RuntimeError("killed")
    return {"left by the killed run": left}


def test_an_unknown_step_or_input_is_told() -> None:
    with pytest.raises(ConfigError, match="there is no step"):
        steps.run("paint", None, {}, Path("x"))
    with pytest.raises(ConfigError, match="step toy reads corpus, not pictures"):
        steps.run("toy", None, {"pictures": Path("x")}, Path("x"))


def test_every_step_reads_what_an_earlier_one_writes() -> None:
    names = [name for name in steps.STEPS if name not in ("toy", "museum")]
    for place, name in enumerate(names):
        step = steps.STEPS[name]
        assert set(step.inputs.values()) | set(step.after) <= set(names[:place])
        assert hasattr(config.Line(), step.section)
