"""Write params.yaml: every knob of a preset, so that `dvc exp run -S painter.steps=300` finds what it changes.

python -m pipelines.params                  # the default preset → params.yaml, which git tracks
python -m pipelines.params debug -o params.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from danqing import files, presets, values

ROOT = Path(__file__).resolve().parents[1]


def text_of(preset: str = "default") -> str:
    """The preset as YAML, sections in the order of the steps."""
    import yaml

    head = f"# The preset `{preset}`, written by `python -m pipelines.params {preset}` and read by dvc.yaml.\n"
    body = yaml.safe_dump(values.as_dict(presets.preset(preset)), sort_keys=False, allow_unicode=True)
    return head + str(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", default="default", choices=list(presets.PRESETS))
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "params.yaml")
    given = parser.parse_args()
    files.write_text(given.out, text_of(given.preset))
    print(given.out)


if __name__ == "__main__":
    main()
