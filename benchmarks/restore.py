"""Fill holes in held-out real paintings, beside OpenCV's in-painting: benchmarks/results/restore.md.

python -m benchmarks.restore --corpus out/annotated          # an annotated folder of paintings
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from danqing import files
from danqing.config import Decoding
from danqing.data import corpus as corpora
from danqing.editing import RESTORING, Editor
from danqing.evaluate import restoring
from danqing.evaluate.features import NAME
from danqing.models.restore import Restorer, squares
from danqing.pretrained import box
from danqing.train.loop import device

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder that the step annotate wrote")
    parser.add_argument("--tokenizer", type=Path, help="the box if not given")
    parser.add_argument("--painter", type=Path, help="the box if not given")
    parser.add_argument("--share", type=float, default=0.25, help="of the picture's area that is lost")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--sheet", type=Path, help="a PNG to look at: originals, holes, and what each method made")
    given = parser.parse_args()

    restorer = Restorer.load(given.tokenizer or box(), given.painter or box(), Decoding()).to(device())
    editor = Editor(squares(restorer), restorer.generator.tokenizer.config.size, RESTORING)
    parts = [corpora.load(given.corpus, split, editor.size) for split in ("val", "test")]
    originals = np.concatenate([part.images for part in parts])
    captions = [caption for part in parts for caption in part.captions]
    holes = restoring.holes(len(originals), editor.size, given.share, given.seed)

    def ours(pictures: np.ndarray, where: np.ndarray) -> np.ndarray:
        made = []
        for start in range(0, len(pictures), 16):
            part = slice(start, start + 16)
            seeds = list(range(given.seed + start, given.seed + start + len(pictures[part])))
            made.append(editor.squares(pictures[part], where[part], captions[part], seeds, RESTORING))
        return np.concatenate(made)

    methods = {
        "danqing": ours, "OpenCV, Telea": restoring.by_opencv(cv2.INPAINT_TELEA),
        "OpenCV, Navier-Stokes": restoring.by_opencv(cv2.INPAINT_NS),
    }  # fmt: skip
    found = restoring.compare(methods, originals, holes)
    lines = [
        "# Restoring", "",
        f"- **Pictures**: {len(originals)} held-out paintings (val and test) at {editor.size} px; one rectangle of "
        f"{100 * given.share:.0f} % of the area is lost in each (seed {given.seed})",
        f"- **Distance**: channel-normalised feature maps of {NAME} (ImageNet weights), in the hole; less is better",
        f"- **danqing**: guidance {RESTORING.guidance:g}, temperature {RESTORING.temperature:g}, one try a picture, "
        f"seeds {given.seed}…; prompts are the captions",
        "", "| method | distance in the hole | PSNR in the hole, dB | danqing is nearer on |", "|---|---|---|---|",
    ]  # fmt: skip
    best = found["danqing"]["distance"]
    for name, figures in found.items():
        d, p = figures["distance"], figures["psnr"]
        error = d.std(ddof=1) / np.sqrt(len(d))
        nearer = "" if name == "danqing" else f"{100 * (best < d).mean():.0f} % of the pictures"
        lines.append(f"| {name} | {d.mean():.3f} ± {error:.3f} (standard error) | {p.mean():.2f} | {nearer} |")
    lines += ["", "PSNR rewards a blur: the mean of what could be there is nearest to all of it, and shows none of it."]
    files.write_text(given.out / "restore.md", "\n".join(lines) + "\n")
    if given.sheet is not None:
        shown = slice(0, 8)
        rows = [originals[shown], np.where(holes[shown, ..., None], 255, originals[shown]).astype(np.uint8)]
        rows += [figures["pictures"][shown] for figures in found.values()]
        sheet = np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)
        files.write_bytes(given.sheet, corpora.encode(np.ascontiguousarray(sheet)))
    print(f"{given.out / 'restore.md'}\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
