"""Compile the pipelines to the YAML that a cluster takes.

python -m pipelines.compile                       # pipelines/golden/*.yaml, which git tracks

For a cluster of one's own, with its nodes' labels and images by digest: `danqing compile --cluster gke …`.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import CPU_IMAGE, CUDA_IMAGE
from danqing import files
from danqing.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.placement import Site

GOLDEN = Path(__file__).parent / "golden"
BY_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
# The lowest KFP that pyproject.toml admits: which one compiled must not show in the file.
_SDK = "sdkVersion: kfp-2.17.0"


def pipelines() -> dict[str, Any]:
    """File stem → pipeline."""
    from pipelines.ablation import ablation
    from pipelines.painting import danqing
    from pipelines.sharded import sharded

    return {"danqing": danqing, "ablation": ablation, "sharded": sharded}


def text_of(pipeline: Any, site: Site | None = None) -> str:
    """The pipeline as YAML for `site`, the same on every machine; for the default cluster if None."""
    from kfp import compiler, dsl

    from pipelines import placement

    spec = pipeline.component_spec
    with placement.on(site or placement.site()), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        # Traced again: what was traced when its module was imported is for the default cluster.
        traced = dsl.pipeline(name=spec.name, description=spec.description)(pipeline.pipeline_func)
        compiler.Compiler().compile(traced, str(path))
        text = path.read_text(encoding="utf-8")
    text = re.sub(r"^sdkVersion: .*$", _SDK, text, flags=re.MULTILINE)
    return re.sub(r"^(#.*?) +$", r"\1", text, flags=re.MULTILINE)  # the header ends its empty lines with blanks


def site_of(cluster: str = "", cpu_image: str = "", cuda_image: str = "", *, allow_tags: bool = False) -> Site:
    """What the command line says. Raises ConfigError.

    Images are named by digest wherever a cluster or an image is given: a tag may name another image tomorrow, which
    neither a tried again step nor KFP's cache would see. allow_tags: they may be named by tag all the same.
    """
    from pipelines.cluster import load
    from pipelines.placement import Site

    site = Site(
        cluster=load(cluster) if cluster else load(), cpu_image=cpu_image or CPU_IMAGE,
        cuda_image=cuda_image or CUDA_IMAGE,
    )  # fmt: skip
    if not allow_tags and (cluster or cpu_image or cuda_image):
        for option, image in (("--cpu-image", site.cpu_image), ("--cuda-image", site.cuda_image)):
            if not BY_DIGEST.fullmatch(image):
                raise ConfigError(
                    f"{option} is {image}: a cluster wants NAME@sha256:… (64 digits), which is always the same image; "
                    "--allow-tags takes it as it is"
                )
    return site


def write(out: Path = GOLDEN) -> list[Path]:
    """Write one YAML file a pipeline into `out`; returns their paths."""
    paths = []
    for name, pipeline in pipelines().items():
        paths.append(out / f"{name}.yaml")
        files.write_text(paths[-1], text_of(pipeline))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=GOLDEN, help="folder for the YAML files")
    for path in write(parser.parse_args().out):
        print(path)


if __name__ == "__main__":
    main()
