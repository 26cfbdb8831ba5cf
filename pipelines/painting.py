"""The pipeline `danqing`: from pictures to a registered model. One definition for a laptop and for a cluster."""

from typing import Any

from kfp import dsl
from kfp.dsl import PipelineTask

from components.annotate import annotate
from components.evaluate import evaluate
from components.export import export
from components.gate import gate
from components.ingest import ingest
from components.register import register
from components.screen import screen
from components.train_clip import train_clip
from components.train_painter import train_painter
from components.train_tokenizer import train_tokenizer
from components.validate import validate
from pipelines.placement import place

DESCRIPTION = """\
From pictures to a model that paints them: ingest, screen, annotate, validate, train (tokenizer, CLIP, painter),
evaluate, gate, export, register.

data_revision: DVC revision of the pictures; kept with the model, and a new one makes KFP ingest again.
init: pretrained (start from the model in the box) or scratch; empty leaves it to the profile.
overrides: JSON of dotted configuration keys, e.g. {"painter.steps": 2000, "gate.min_psnr": 18}.
profile: debug (a minute, for trying the machinery), default (128 pixels, from the model in the box), gpu (128 pixels,
from nothing), paper (256 pixels).
rerun: empty takes the results of what is unchanged; any new word (e.g. a date) computes all of it anew.
seed: the seed of every step; -1 leaves it to the profile.
source: brush (painted by the program), museum (Met and Art Institute of Chicago) or folder:PATH; empty leaves it to
the profile. On a cluster PATH lies on a volume that `ingest` mounts: put the pictures on danqing-memo, below /memo.

The report and the sample pictures are the artifacts of `evaluate`; the decision on the champion is that of `gate`.
"""

# Their result depends on the registry, not only on their inputs.
_NEVER_CACHED = ("gate", "register")
Param = Any
"""What KFP calls a pipeline's parameter while it traces it: `PipelineParameterChannel`."""


def line(
    corpus: dsl.Artifact, data_revision: Param, init: Param, overrides: Param, profile: Param, rerun: Param,
    seed: Param, source: Param,
) -> None:  # fmt: skip
    """All steps after `ingest`, which gave `corpus`; the others are the pipeline's parameters."""
    fixed = {"profile": profile, "overrides": overrides}
    plain = {**fixed, "rerun": rerun}
    seeded = {**plain, "seed": seed}
    started = {**seeded, "init": init}

    tasks: dict[str, PipelineTask] = {}

    def of(step: str) -> dsl.Artifact:
        return tasks[step].outputs["out"]

    tasks["screen"] = screen(corpus=corpus, **seeded)
    tasks["annotate"] = annotate(corpus=of("screen"), **seeded)
    tasks["validate"] = validate(corpus=of("annotate"), **plain)
    tasks["train_tokenizer"] = train_tokenizer(corpus=of("annotate"), screener=of("screen"), **started).after(
        tasks["validate"]
    )
    tasks["train_clip"] = train_clip(corpus=of("annotate"), **seeded).after(tasks["validate"])
    tasks["train_painter"] = train_painter(
        corpus=of("annotate"), tokenizer=of("train_tokenizer"), clip=of("train_clip"), **started
    )
    tasks["evaluate"] = evaluate(
        corpus=of("annotate"), tokenizer=of("train_tokenizer"), clip=of("train_clip"), painter=of("train_painter"),
        **seeded,
    )  # fmt: skip
    tasks["gate"] = gate(evaluation=of("evaluate"), **fixed)
    tasks["export"] = export(
        corpus=of("annotate"), tokenizer=of("train_tokenizer"), painter=of("train_painter"), **plain
    )
    tasks["register"] = register(
        package=of("export"), evaluation=of("evaluate"), decision=of("gate"),
        source=source, data_revision=data_revision, seed=seed, init=init, **fixed,
    )  # fmt: skip

    for name, task in tasks.items():
        place(task, name)
        if name in _NEVER_CACHED:
            task.set_caching_options(False)


@dsl.pipeline(name="danqing", description=DESCRIPTION)
def danqing(
    data_revision: str = "",
    init: str = "",
    overrides: str = "{}",
    profile: str = "default",
    rerun: str = "",
    seed: int = -1,
    source: str = "",
) -> None:
    seeded = {"profile": profile, "overrides": overrides, "rerun": rerun, "seed": seed}
    first = ingest(source=source, data_revision=data_revision, **seeded)
    place(first, "ingest")
    line(first.outputs["out"], data_revision, init, overrides, profile, rerun, seed, source)
