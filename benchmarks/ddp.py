"""Steps per second of the three trainings in one process and in two ranks, with the same global batch.

python -m benchmarks.ddp            # benchmarks/results/ddp.md; wants an idle machine
python -m benchmarks.ddp --quick    # two tiny steps each, to see that it works; writes nothing

On a CPU two ranks of one thread each share the two cores that one process of two threads has: what is lost against it
is what the exchange costs, and one process of one thread says what a second core is worth at all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1),
}  # fmt: skip
TRAININGS = ("tokenizer", "painter", "clip")
PROMPT = "a lone boat under misty mountains, freehand, pale ink"
_SMALL = {
    "annotate.size": 64, "tokenizer.model.size": 64, "tokenizer.model.width": 16, "tokenizer.batch": 4,
    "tokenizer.extractor": "none", "painter.model.width": 32, "painter.batch": 4, "clip.batch": 4,
}  # fmt: skip


def jobs(quick: bool) -> dict[str, tuple[Any, int, int]]:
    """Training → (job, batch, a step with everything in it), on noise: what is learnt does not matter."""
    import numpy as np
    import pandas as pd
    import torch

    from danqing import presets
    from danqing.data.corpus import Pictures
    from danqing.models.clip import Clip, compact_vocabulary, read_config
    from danqing.train.clip import Contrastive
    from danqing.train.painter import Captions, PainterJob, encode
    from danqing.train.tokenizer import TokenizerJob, perceptual_network
    from danqing.wordpieces import WordPieces

    line = presets.override(
        presets.default(),
        {"tokenizer.init": "scratch", "painter.init": "scratch", "painter.clip": 0.0, **(_SMALL if quick else {})},
    )
    t, p, c = line.tokenizer, line.painter, line.clip
    count, side = max(t.batch, p.batch, c.batch), t.model.size
    noise = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    images, captions = torch.from_numpy(noise), [PROMPT] * count
    text = torch.randn(count, t.model.text_dim, generator=torch.Generator().manual_seed(0))
    tokenizer = TokenizerJob(t, images, text, perceptual_network(t, Path()))
    codes = encode(tokenizer.model, images)
    painter = PainterJob(p, codes, Captions(captions, p.model.text_length), tokenizer.model, images, None, None)
    torch.manual_seed(0)
    clip = Clip(read_config(c.guide), compact_vocabulary(WordPieces()(captions)[0])).to(tokenizer.device).train()
    contrastive = Contrastive(clip, Pictures(images=noise, captions=captions, frame=pd.DataFrame()), c)
    tokenizer.model.train().requires_grad_(True)  # the painter's job has frozen it
    return {
        "tokenizer": (tokenizer, t.batch, t.steps - 1), "painter": (painter, p.batch, 1),
        "clip": (contrastive, c.batch, 1),
    }  # fmt: skip


def worker(steps: int, quick: bool) -> None:
    """Prints seconds a step of each training, a list of each, as the first rank measures them."""
    import numpy as np
    import torch

    from danqing import collectives, ranks

    def timed(step: Callable[[], object]) -> list[float]:
        found = []
        for _ in range(steps + 1):
            collectives.mean(torch.zeros(1))  # all begin together
            start = time.perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            found.append(time.perf_counter() - start)
        return found[1:]

    with ranks.group():
        seconds = {}
        for name, (job, batch, at) in jobs(quick).items():
            collectives.same(job.modules.values())
            mine = np.arange(batch)[ranks.rows(batch)]
            seconds[name] = timed(lambda job=job, at=at, mine=mine: job.step(at, mine))  # type: ignore[misc]
        if ranks.first():
            print(json.dumps(seconds))


def measure(processes: int, threads: int, steps: int, quick: bool) -> dict[str, list[float]]:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "benchmarks.ddp", "--worker", "--steps", str(steps), *(["--quick"] if quick else [])]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", type=int, default=8, help="of each training in each round")
    parser.add_argument("--rounds", type=int, default=3, help="by turns")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    steps, rounds = (2, 1) if given.quick and not given.worker else (given.steps, given.rounds)
    if given.worker:
        worker(steps, given.quick)
        return
    from benchmarks import table

    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for setting, (processes, threads) in SETTINGS.items():
            for name, found in measure(processes, threads, steps, given.quick).items():
                seconds.setdefault((setting, name), []).extend(found)
    rows = []
    for setting in SETTINGS:
        row = [setting]
        for name in TRAININGS:
            rates = [1 / s for s in seconds[setting, name]]
            reference = statistics.median(1 / s for s in seconds["1 process, 1 thread", name])
            row.append(f"{table.spread(rates, 1, 2)}; {statistics.median(rates) / reference:.2f} ×")
        rows.append(row)
    header = ["", *(f"{name}, steps a second" for name in TRAININGS)]
    if given.quick:
        print("\n".join(table.grid(header, rows)))
        return
    notes = [
        f"{table.versions('torch')}; gloo. The default preset's models and global batches (12, 16 and 64 pictures),",
        "the tokenizer with critic and perceptual loss, the painter without guidance, one CLIP (the guide).",
        f"Median of {rounds} × {steps} steps, by turns, in brackets the least and the most; × is against one process",
        "of one thread. No GPU was measured.",
    ]
    table.write("ddp", "Training in several processes", notes, header, rows)


if __name__ == "__main__":
    main()
