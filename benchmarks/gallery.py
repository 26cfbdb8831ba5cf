"""Paint the prompts of gallery.txt, one picture each, seeds 0, 1, …, nothing chosen: docs/gallery.jpg.

python -m benchmarks.gallery                                 # the model in the box
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from danqing.evaluate import grids
from danqing.lexicon import has_chinese, to_english
from danqing.paint import Painter

HERE = Path(__file__).parent


def shown(prompt: str) -> str:
    """The prompt, or its reading where no font of this machine has Chinese."""
    return f"{to_english(prompt)} (from Chinese)" if has_chinese(prompt) and not grids.cjk_font() else prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, default=HERE / "gallery.txt", help="one a line")
    parser.add_argument("--model", type=Path, help="a package [default: the model in the box]")
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "gallery.jpg")
    given = parser.parse_args()
    prompts = [line.strip() for line in given.prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    painter = Painter.load(given.model)
    pictures = np.stack([np.asarray(painter.paint(prompt, seed)[0]) for seed, prompt in enumerate(prompts)])
    captions = [shown(prompt) for prompt in prompts]
    sheet = grids.sheet([pictures], captions, columns=given.columns, side=pictures.shape[1])
    given.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(given.out, quality=90, optimize=True)
    print(f"{given.out}  {len(prompts)} prompts, {sheet.shape[1]} x {sheet.shape[0]}")


if __name__ == "__main__":
    main()
