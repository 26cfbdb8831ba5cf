"""The pipeline `danqing-ablation`: every variant with every seed on equal budgets, and one report."""

from kfp import dsl

from components.annotate import annotate
from components.compare import compare
from components.evaluate import evaluate
from components.ingest import ingest
from components.plan import plan
from components.screen import screen
from components.train_clip import train_clip
from components.train_painter import train_painter
from components.train_tokenizer import train_tokenizer
from components.validate import validate
from pipelines.placement import place

DESCRIPTION = """\
The full model, the model without each of its parts, and its rivals: the same data, steps and painter, several seeds.
The report is the artifact of `compare`.

overrides: JSON of dotted configuration keys that all trials share, e.g. {"painter.steps": 2000}.
preset: debug (minutes, means nothing), small (64 pixels, hours on two cores) or gpu (128 pixels).
rerun: empty takes the results of what is unchanged; any new word (e.g. a date) computes all of it anew.
rounds: how often each variant is timed.
seeds: numbers with commas between them; empty: 0,1,2 (debug: 0). Three or more give deviations.
source: brush, museum or folder:PATH; empty leaves it to the preset.
variants: names with commas between them (full, no_clip, no_align, no_rdb, plain, vqgan, vit_vqgan, flowmo); empty: all.
"""


@dsl.pipeline(name="danqing-ablation", description=DESCRIPTION)
def ablation(
    overrides: str = "{}",
    preset: str = "small",
    rerun: str = "",
    rounds: int = 5,
    seeds: str = "",
    source: str = "",
    variants: str = "",
) -> None:
    planned = plan(preset=preset, variants=variants, seeds=seeds, overrides=overrides, source=source)
    common = {"profile": planned.outputs["profile"], "overrides": planned.outputs["shared"], "rerun": rerun}
    corpus = ingest(**common)
    screened = screen(corpus=corpus.outputs["out"], **common)
    annotated = annotate(corpus=screened.outputs["out"], **common)
    valid = validate(corpus=annotated.outputs["out"], **common)
    clip = train_clip(corpus=annotated.outputs["out"], **common).after(valid)
    tasks = {"ingest": corpus, "screen": screened, "annotate": annotated, "validate": valid, "train_clip": clip}
    with dsl.ParallelFor(planned.outputs["Output"]) as trial:
        own = {"profile": trial.profile, "overrides": trial.overrides, "label": trial.label, "rerun": rerun}
        tokenizer = train_tokenizer(
            corpus=annotated.outputs["out"], screener=screened.outputs["out"], **own
        ).after(valid)  # fmt: skip
        painter = train_painter(
            corpus=annotated.outputs["out"], tokenizer=tokenizer.outputs["out"], clip=clip.outputs["out"], **own
        )
        evaluation = evaluate(
            corpus=annotated.outputs["out"], tokenizer=tokenizer.outputs["out"], clip=clip.outputs["out"],
            painter=painter.outputs["out"], **own,
        )  # fmt: skip
    tasks |= {"train_tokenizer": tokenizer, "train_painter": painter, "evaluate": evaluation}
    comparison = compare(
        evaluations=dsl.Collected(evaluation.outputs["out"]), tokenizers=dsl.Collected(tokenizer.outputs["out"]),
        painters=dsl.Collected(painter.outputs["out"]), trials=planned.outputs["Output"],
        profile=planned.outputs["profile"], rounds=rounds,
    )  # fmt: skip
    tasks |= {"plan": planned, "compare": comparison}
    for name, task in tasks.items():
        place(task, name)
    comparison.set_caching_options(False)  # it times what it compares
