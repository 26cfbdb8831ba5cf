"""Compile the pipelines to the YAML that a cluster takes.

python -m pipelines.compile                       # pipelines/golden/*.yaml, which git tracks
python -m pipelines.compile --out build --cpu-image NAME@sha256:… --cuda-image NAME@sha256:…
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from components import CPU_IMAGE, CUDA_IMAGE
from danqing import files

GOLDEN = Path(__file__).parent / "golden"
# The lowest KFP that pyproject.toml admits: which one compiled must not show in the file.
_SDK = "sdkVersion: kfp-2.17.0"


def pipelines() -> dict[str, object]:
    """File stem → pipeline."""
    from pipelines.ablation import ablation
    from pipelines.painting import danqing

    return {"danqing": danqing, "ablation": ablation}


def text_of(pipeline: object, *, cpu_image: str = CPU_IMAGE, cuda_image: str = CUDA_IMAGE) -> str:
    """The pipeline as YAML, the same on every machine."""
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        text = path.read_text(encoding="utf-8")
    text = re.sub(r"^sdkVersion: .*$", _SDK, text, flags=re.MULTILINE)
    text = re.sub(r"^(#.*?) +$", r"\1", text, flags=re.MULTILINE)  # the header ends its empty lines with blanks
    for name, image in ((CPU_IMAGE, cpu_image), (CUDA_IMAGE, cuda_image)):
        text = re.sub(rf"^(\s+image:) {re.escape(name)}$", rf"\1 {image}", text, flags=re.MULTILINE)
    return text


def write(out: Path = GOLDEN, *, cpu_image: str = CPU_IMAGE, cuda_image: str = CUDA_IMAGE) -> list[Path]:
    """Write one YAML file a pipeline into `out`; returns their paths."""
    paths = []
    for name, pipeline in pipelines().items():
        paths.append(out / f"{name}.yaml")
        files.write_text(paths[-1], text_of(pipeline, cpu_image=cpu_image, cuda_image=cuda_image))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=GOLDEN, help="folder for the YAML files")
    parser.add_argument("--cpu-image", default=CPU_IMAGE, help="image of the light steps")
    parser.add_argument("--cuda-image", default=CUDA_IMAGE, help="image of the steps that want a GPU")
    given = parser.parse_args()
    for path in write(given.out, cpu_image=given.cpu_image, cuda_image=given.cuda_image):
        print(path)


if __name__ == "__main__":
    main()
