"""How often the drift report is wrong: false alarms where nothing has changed, alarms where a share of prompts has.

python -m benchmarks.drift
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks import table
from danqing import observe
from danqing.data.brush import MAINS, caption, compose, paint
from danqing.data.captions import LONGEST
from danqing.evaluate.drift import Attribute, Drift, DriftConfig, compare
from danqing.observe import Counts
from danqing.paint import Painter
from danqing.pretrained import box
from danqing.served import Served
from danqing.wordpieces import WordPieces

TRAINING, PROMPTS, REPORTS, SHIFTED, PAINTED = 1500, 300, 400, 40, 200


def prompts(seeds: Iterable[int], main: str = "") -> Counts:
    """What the brush's captions of these scenes ask for."""
    return observe.count((caption(compose(s, main=main or MAINS[s % len(MAINS)]))[0] for s in seeds), [])


def reported(known: Counts, counts: Counts, config: DriftConfig) -> Drift:
    return compare(known, Served(counts=counts, since="first", until="last", broken=0), config)


def alarms(known: Counts) -> tuple[int, int]:
    """Of `REPORTS` reports over captions drawn as the training's: those across the floor, and those that alarm."""
    floor = both = 0
    for k in range(REPORTS):
        first = 100_000 + PROMPTS * k
        found = reported(known, prompts(range(first, first + PROMPTS)), DriftConfig(threshold=0.0, ignore=(), seed=k))
        floor += found.drifted
        both += any(a.drifted and (a.value or 0) > DriftConfig().threshold for a in found.attributes.values())
    return floor, both


def found(known: Counts, share: float) -> tuple[int, float]:
    """Of `SHIFTED` reports with so many prompts replaced by ones for fish: alarms, and the mean distance."""
    hits, values = 0, []
    for k in range(SHIFTED):
        first, others = 1_000_000 + 2 * PROMPTS * k, round(PROMPTS * share)
        counts = prompts(range(first, first + PROMPTS - others))
        counts.merge(prompts(range(first + PROMPTS, first + PROMPTS + others), "fish"))
        element = reported(known, counts, DriftConfig(seed=k)).attributes["element"]
        hits += element.drifted
        values.append(element.value or 0.0)
    return hits, sum(values) / len(values)


def painted() -> dict[str, Attribute]:
    """How far pictures by the model in the box are from those that it was trained on, prompts being alike."""
    painter = Painter.load(box())
    size = painter.package.size
    known, counts = Counts(), Counts()
    for k in range(2 * PAINTED):
        known.add_picture(paint(compose(k, main=MAINS[k % len(MAINS)]), size))
    words, k = WordPieces(), 10**7
    while counts.pictures < PAINTED:
        asked = caption(compose(k, main=MAINS[k % len(MAINS)]))[0]
        if words.count(asked) <= LONGEST:  # the painter refuses longer ones
            counts.add_picture(np.asarray(painter.paint(asked, seed=k % 1000)[0]))
        k += 1
    return {n: a for n, a in reported(known, counts, DriftConfig(ignore=())).attributes.items() if a.side == "picture"}


def main() -> None:
    known = prompts(range(TRAINING))
    floor, both = alarms(known)
    rows = [["nothing, at threshold 0: the floor alone decides", f"{floor} of {REPORTS}", ""],
            ["nothing", f"{both} of {REPORTS}", ""]]  # fmt: skip
    for share in (0.1, 0.2, 0.3, 0.4):
        hits, mean = found(known, share)
        rows.append([f"{share:.0%} of the prompts are for fish", f"{hits} of {SHIFTED}", f"{mean:.2f}"])
    notes = [f"{PROMPTS} prompts a report against {TRAINING:,} of training, captions of the brush; alpha 0.01, "
             f"threshold {DriftConfig().threshold:g} unless said otherwise."]  # fmt: skip
    body = table.grid(["what changed", "alarms", "JS distance of elements"], rows)
    own = [[n, f"{a.value:.2f}", f"{a.floor:.2f}", f"{(a.means or (0, 0))[0]:.3f}", f"{(a.means or (0, 0))[1]:.3f}",
            "yes" if a.drifted else "no"] for n, a in painted().items()]  # fmt: skip
    body += ["", f"What the model in the box paints from {PAINTED} captions as the brush's, against "
             f"{2 * PAINTED} of the brush's own pictures: what is always so, without any drift.", "",
             *table.grid(["attribute", "D", "floor", "mean, brush", "mean, painted", "alarm"], own)]  # fmt: skip
    table.save("drift", "Drift", notes, body)


if __name__ == "__main__":
    main()
