"""danqing beside packages that do the same, at equal size: benchmarks/results/peers.md. About 6 minutes on two cores.

pip install -c constraints.txt -e '.[train,peers]'        # a package that is missing is left out, with a line
python -m benchmarks.peers                                 # --rounds 3 for a rough look
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import statistics
from collections.abc import Mapping, Sequence

import torch

from benchmarks import table
from benchmarks.contenders import TOLERANCE, Contender, Setting, Step, danqing, weights
from benchmarks.packages import PEERS
from danqing import presets

BATCHES = (1, 8)
"""Pictures painted at once."""


def gather(s: Setting) -> tuple[list[Contender], list[str]]:
    """The contenders, danqing first, and a line on each peer that is missing."""
    found, missing = [danqing(s)], []
    for peer in PEERS:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # some tell what they build
                found.append(peer.build(s))
        except ImportError as error:
            missing.append(f"- **{peer.package}** was left out ({error}): `pip install '{peer.requirement}'`")
    return found, missing


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How many times as fast ours is, round by round: the median, and the least and the most."""
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    return ("" if statistics.median(each) >= 1 else "slower: ") + table.spread(each, 1, 2)


def compare(runs: Mapping[tuple[str, str, int], Step], rounds: int, rate: bool) -> list[str]:
    """A table of runs by (who, what, weights); rate: steps a second, else milliseconds."""
    timed = table.interleaved({key: step.run for key, step in runs.items()}, rounds)
    seconds = {key: [second / runs[key].steps for second in timed[key]] for key in runs}
    ours = {what: seconds[who, what, n] for who, what, n in runs if who == "danqing"}
    header = ["who", "what", "weights, M", "steps/s" if rate else "ms a picture"]
    header += [f"danqing ({what}) is × as fast" for what in ours]
    rows = []
    for (who, what, n), taken in seconds.items():
        value = table.spread([1 / t for t in taken], 1, 2) if rate else table.spread(taken)
        ratios = ["" if who == "danqing" else ratio(base, taken) for base in ours.values()]
        rows.append([who, what, f"{n / 1e6:.2f}", value, *ratios])
    return table.grid(header, rows)


def report(s: Setting, contenders: Sequence[Contender], rounds: int) -> list[str]:
    t, p = s.line.tokenizer, s.line.painter
    lines: list[str] = []

    def add(title: str, notes: str, runs: Mapping[tuple[str, str, int], Step], rate: bool = True) -> None:
        print(f"{title} …", flush=True)
        lines.extend([f"## {title}", "", notes, "", *compare(runs, rounds, rate), ""])

    def steps(kind: str, model: str) -> dict[tuple[str, str, int], Step]:
        return {
            (c.name, what, weights(getattr(c, model))): step
            for c in contenders for what, step in getattr(c, kind).items()
        }  # fmt: skip

    add(
        f"Tokenizer, batch {t.batch}, without extras",
        "Reconstruction and codebook losses only. danqing's step still clips gradients, averages weights and follows "
        "its codebooks' use.", steps("tokenizer_steps", "tokenizer"),
    )  # fmt: skip
    add(
        f"Tokenizer, batch {t.batch}, with discriminator and perceptual network",
        f"Each as it comes: danqing's default profile has EfficientNet-Lite0 on {t.perceptual_batch} pictures of a "
        "batch, the peers VGG-16 on all. diffusers has no recipe for this.", steps("whole_steps", "tokenizer"),
    )  # fmt: skip
    add(
        f"Painter, batch {p.batch}, {s.shape.grid**2} codes a picture",
        f"The same text features {tuple(s.text.shape[1:])} for all. danqing's passes see {s.shape.global_grid**2} and "
        f"{s.shape.global_grid**2 + s.shape.grid**2} positions, the peers' one pass {s.shape.grid**2} (GPT-2's: the "
        f"text's too). The default profile has CLIP guidance, at one step in {p.clip_every}; the time is per step.",
        steps("painter_steps", "painter"),
    )  # fmt: skip
    for batch in BATCHES:
        runs = {
            (c.name, what, weights(c.tokenizer) + weights(c.painter)): Step(functools.partial(paint, batch), batch)
            for c in contenders for what, paint in c.paints.items()
        }  # fmt: skip
        add(
            f"A sentence to a picture, batch {batch}",
            "From word pieces to pixels. danqing's text encoder (MiniLM-L6) reads for all and is in all times. "
            "Guided, with two passes a step, except where it says otherwise. Of danqing's steps "
            f"{s.line.evaluate.decoding.global_steps} see the global positions only.", runs, rate=False,
        )  # fmt: skip
    return lines


def notes(s: Setting, rounds: int) -> list[str]:
    return [
        f"{table.versions('torch', 'onnxruntime', 'transformers', *(peer.package for peer in PEERS))}. "
        f"On the CPU, float32, {torch.get_num_threads()} threads for all.",
        "",
        f"- One run; all by turns, after an unmeasured round. Median (least to most) of {rounds} rounds; ratios are "
        "taken within a round.",
        f"- {s.shape.size} px, {s.shape.detail_codes} codes, stride {s.shape.stride}. The peers' widths bring them "
        f"within {100 * TOLERANCE:.0f} % of danqing's weights; discriminators and perceptual networks are not counted.",
        "- Weights are random and VGG-16 untrained: only time is compared, not whose pictures are better.",
        "- A peer's step is forward, backward and AdamW; nothing is averaged, clipped, scheduled or logged. In what "
        "their documentation leaves open, the cheaper way was taken.",
        "- taming-transformers: its own parts, joined here, for its whole class does not import beside a current "
        "pytorch-lightning; its GPT has neither cache nor text, so that GPT-2 of transformers stands for it.",
        "- diffusers: `AmusedPipeline` is deprecated there, and still runs.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    # danqing's jobs take a GPU of themselves, the peers wait to be told of it.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    s = Setting(presets.default())
    contenders, missing = gather(s)
    for line in missing:
        print(line, flush=True)
    lines = report(s, contenders, rounds)
    table.save("peers", "Beside its peers", [*notes(s, rounds), *missing], lines[:-1])


if __name__ == "__main__":
    main()
