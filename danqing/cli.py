"""The command line: one sub-command a step, plus run, paint, serve, promote, rollback, compile and box.

This file only reads the command line and calls; nothing heavy is imported before it is known what is wanted.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from danqing import __version__, config, presets, steps
from danqing.commands import approvals
from danqing.commands.errors import plain_errors as _plain_errors
from danqing.errors import ConfigError, DanqingError
from danqing.values import closest

app = typer.Typer(
    help="danqing (丹青): a sentence becomes a traditional Chinese painting.", no_args_is_help=True,
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
)  # fmt: skip
app.add_typer(approvals.app, name="approvals", rich_help_panel="Use it")

Set = Annotated[
    Optional[list[str]], typer.Option("--set", metavar="KEY=VALUE", help="Change one value, e.g. painter.steps=200.")
]
Profile = Annotated[Optional[str], typer.Option(help="Preset: default, debug, gpu or paper.")]
Name = Annotated[str, typer.Option(help="The registered model's name (register.name).")]
_NAME = config.Register().name


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel="Use it")
def paint(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="What to paint, in English or Chinese.")],
    out: Annotated[Optional[Path], typer.Option("-o", "--out", help="A .png file, or a folder.")] = None,
    seed: Annotated[
        Optional[int], typer.Option(help="The same seed paints the same picture; by chance if not given.")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="Pictures of each prompt.")] = 1,
    guidance: Annotated[Optional[float], typer.Option(help="How strictly to follow the prompt (1 to 10).")] = None,
    scale: Annotated[
        Optional[int], typer.Option(help="Enlargement when saved; at least 512 pixels if not given.")
    ] = None,
    url: Annotated[Optional[str], typer.Option(help="Paint on a server, e.g. grpc://localhost:8001.")] = None,
    model: Annotated[Optional[Path], typer.Option(help="A package folder; the champion if not given.")] = None,
) -> None:
    """Paint a sentence. Uses the champion of the last run, or the model in the box before any run."""
    from danqing.commands.paint import paint_command

    with _plain_errors():
        paint_command(prompts, url=url, model=model, out=out, seed=seed, count=count, guidance=guidance, scale=scale,
                      say=typer.echo)  # fmt: skip


_Seed = Annotated[Optional[int], typer.Option(help="The same seed gives the same picture; by chance if not given.")]
_Guidance = Annotated[Optional[float], typer.Option(help="How strictly to follow the prompt.")]
_Model = Annotated[Optional[Path], typer.Option(help="A package folder; the champion if not given.")]


@app.command(rich_help_panel="Use it")
def restore(
    picture: Annotated[Path, typer.Argument(help="A picture of any size.")],
    mask: Annotated[Path, typer.Option(help="A picture of the same size, white where it is damaged.")],
    prompt: Annotated[str, typer.Option(help="What the picture shows.")] = "a Chinese painting",
    out: Annotated[Path, typer.Option("-o", "--out", help="A .png file.")] = Path("restored.png"),
    seed: _Seed = None,
    guidance: _Guidance = None,
    model: _Model = None,
) -> None:
    """Paint what is missing in a picture; every byte outside the mask stays."""
    from danqing.commands.edit import edit_command

    with _plain_errors():
        edit_command(picture, prompt, out=out, mask=mask, seed=seed, guidance=guidance, model=model, restoring=True,
                     say=typer.echo)  # fmt: skip


@app.command(rich_help_panel="Use it")
def edit(
    picture: Annotated[Path, typer.Argument(help="A picture of any size.")],
    prompt: Annotated[str, typer.Argument(help="What the picture shall show.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A .png file.")] = Path("edited.png"),
    mask: Annotated[Optional[Path], typer.Option(help="Replace what is white in this picture.")] = None,
    box: Annotated[str, typer.Option(help='Replace what is in x0,y0,x1,y1, e.g. "0.5,0.1,0.9,0.6".')] = "",
    extend: Annotated[str, typer.Option(help="Let the scene go on: left, right, up or down.")] = "",
    strength: Annotated[Optional[float], typer.Option(help="Change all a little (0.2) or much (0.9).")] = None,
    seed: _Seed = None,
    guidance: _Guidance = None,
    model: _Model = None,
) -> None:
    """Replace an element, let the scene go on, or change the manner of a picture."""
    from danqing.commands.edit import edit_command

    with _plain_errors():
        edit_command(picture, prompt, out=out, mask=mask, box=box, extend=extend, strength=strength, seed=seed,
                     guidance=guidance, model=model, say=typer.echo)  # fmt: skip


@app.command("inspect", rich_help_panel="Use it")
def inspect_picture(
    picture: Annotated[Path, typer.Argument(help="A PNG, JPEG or WebP file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    trust: Annotated[
        Optional[Path], typer.Option(help="PEM of the CAs whose signers are trusted; others then fail.")
    ] = None,
    secret: Annotated[
        Optional[Path], typer.Option(help="File of the deployment's secret [default: $DANQING_PROVENANCE_SECRET].")
    ] = None,
) -> None:
    """Say where a picture comes from, and what was tampered with: exit status 0 nothing, 1 something, 2 no origin."""
    from danqing.commands.inspect import inspect_command

    with _plain_errors():
        code = inspect_command(picture, as_json=as_json, trust=trust, secret=secret, say=typer.echo)
    raise typer.Exit(code)


@app.command(rich_help_panel="Use it")
def serve(
    model: _Model = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    http: int = 8000,
    grpc: int = 8001,
    metrics: int = 8002,
    log: Annotated[Optional[Path], typer.Option(help="File for the server's own lines.")] = None,
    plan: Annotated[
        Optional[Path], typer.Option(help="A folder of TensorRT plans: say how NVIDIA's image serves them.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Change over when the champion changes.")] = False,
    tracking: Annotated[
        str, typer.Option(help="With --follow: address of the MLflow registry; this workspace's if not given.")
    ] = "",
) -> None:
    """Serve the champion with a real Triton Inference Server, over gRPC and HTTP."""
    from danqing.commands.serve import follow_command, plan_command, serve_command

    with _plain_errors():
        if plan is not None:
            plan_command(model, plan, say=typer.echo)
        elif follow:
            follow_command(model, tracking, host=host, http=http, grpc=grpc, metrics=metrics, log=log)
        elif tracking:
            raise ConfigError("--tracking is for --follow: without it nobody asks the registry again")
        else:
            serve_command(model, host=host, http=http, grpc=grpc, metrics=metrics, log=log)


@app.command(rich_help_panel="Use it")
def plan(
    package: Annotated[Path, typer.Option(help="The package folder to build for.")],
    out: Annotated[Path, typer.Option(help="Folder for the plans and their records.")],
    precision: Annotated[str, typer.Option(help="Of the products: mixed, fp16, bf16 or fp32.")] = "mixed",
    batches: Annotated[str, typer.Option(help="Batch sizes to tune for, rising.")] = "1,4,8",
) -> None:
    """Build TensorRT plans on the machine whose GPU shall serve the package."""
    from danqing.commands.plan import plan_command

    with _plain_errors():
        plan_command(package, out, precision=precision, batches=batches, say=typer.echo)


@app.command(rich_help_panel="Use it")
def gateway(
    triton: Annotated[str, typer.Option(help="A server that paints, e.g. grpc://localhost:8001.")] = "",
    model: _Model = None,
    host: Annotated[str, typer.Option(help="Address to listen on; for others, --keys is needed.")] = "127.0.0.1",
    port: int = 3000,
    keys: Annotated[Optional[Path], typer.Option(help="A file of API keys: a name and a key on each line.")] = None,
) -> None:
    """Open the studio page and the HTTP API, in front of a served model or of this process."""
    with _plain_errors():
        from serving.gateway.run import run as run_gateway

        run_gateway(triton=triton, model=model, host=host, port=port, keys=keys)


@app.command(rich_help_panel="Train it")
def run(
    profile: Annotated[str, typer.Option(help="Preset: default, debug, gpu or paper.")] = "default",
    source: Annotated[str, typer.Option(help="brush, museum or folder:PATH; the preset's if not given.")] = "",
    init: Annotated[
        str, typer.Option(help="pretrained (the model in the box) or scratch; the preset's if not given.")
    ] = "",
    seed: Annotated[int, typer.Option(help="One seed for all steps; -1 keeps the preset's.")] = -1,
    rerun: Annotated[
        str, typer.Option(metavar="WORD", help="Compute anew what is unchanged too, once for each new word.")
    ] = "",
    assignments: Set = None,
    workspace: Annotated[
        Optional[Path], typer.Option(help="Where runs, models and tracking live [default: .danqing].")
    ] = None,
    runner: Annotated[str, typer.Option(help="processes, or containers on Docker or Podman.")] = "processes",
    store: Annotated[
        str, typer.Option(metavar="S3", help="Containers: s3://BUCKET/PREFIX of artifacts, at $AWS_ENDPOINT_URL.")
    ] = "",
    image: Annotated[str, typer.Option(help="Containers: the steps' image [default: what `make images` builds].")] = "",
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Containers: limit of each, e.g. 12g [default: 8g].")
    ] = "",
    network: Annotated[str, typer.Option(help="Containers: host, or a network of the engine.")] = "",
) -> None:
    """Run the whole line here: pictures in, a registered model out. The same pipeline runs on a cluster.

    Containers want an MLflow server ($MLFLOW_TRACKING_URI), an S3 store, and $DOCKER_HOST if the engine is elsewhere.
    """
    with _plain_errors():
        from pipelines.containers import chosen
        from pipelines.local import run_local

        containers = chosen(runner, store=store, image=image, memory=memory, network=network)
        run_local(profile, presets.parse_assignments(assignments or []), workspace=workspace, source=source, seed=seed,
                  init=init, rerun=rerun, containers=containers)  # fmt: skip


@app.command(rich_help_panel="Train it")
def ablate(
    preset: Annotated[str, typer.Option(help="debug (minutes), small (64 px, hours on two cores) or gpu.")] = "small",
    variants: Annotated[str, typer.Option(help="Names with commas between them; all if not given.")] = "",
    seeds: Annotated[str, typer.Option(help="Numbers with commas between them [default: 0,1,2; debug: 0].")] = "",
    source: Annotated[str, typer.Option(help="brush, museum or folder:PATH; the preset's if not given.")] = "",
    rounds: Annotated[int, typer.Option(help="How often each variant is timed.")] = 5,
    assignments: Set = None,
    workspace: Annotated[
        Optional[Path], typer.Option(help="Where runs, models and tracking live [default: .danqing].")
    ] = None,
) -> None:
    """Train the full model, the model without its parts, and its rivals, on equal budgets; write one report."""
    with _plain_errors():
        from pipelines.ablate import run_ablation

        run_ablation(preset, variants=[v for v in variants.split(",") if v], seeds=seeds, source=source,
                     overrides=presets.parse_assignments(assignments or []), rounds=rounds,
                     workspace=workspace)  # fmt: skip


@app.command(rich_help_panel="Train it")
def compile(
    pipeline: Annotated[str, typer.Argument(help="danqing, ablation or sharded.")] = "danqing",
    out: Annotated[Optional[Path], typer.Option("-o", "--out", help="[default: PIPELINE.yaml]")] = None,
    cluster: Annotated[
        str, typer.Option(help="Whose nodes: onprem, gke, eks, or a file NAME.yaml like pipelines/clusters/*.yaml.")
    ] = "",
    cpu_image: Annotated[str, typer.Option(metavar="NAME@sha256:…", help="Image of the light steps.")] = "",
    cuda_image: Annotated[str, typer.Option(metavar="NAME@sha256:…", help="Image of steps that want a GPU.")] = "",
    allow_tags: Annotated[bool, typer.Option("--allow-tags", help="Take images that are not named by digest.")] = False,
) -> None:
    """Compile a pipeline for Kubeflow: upload the file in its UI."""
    with _plain_errors():
        from danqing import files
        from pipelines.checks import require_sound
        from pipelines.compile import pipelines, site_of, text_of

        known = pipelines()
        if pipeline not in known:
            raise ConfigError(f"there is no pipeline {pipeline!r}: {closest(pipeline, list(known))}")
        site = site_of(cluster, cpu_image, cuda_image, allow_tags=allow_tags)
        text = text_of(known[pipeline], site)
        require_sound(text, cluster or "the default cluster", digests=False)
        out = out or Path(f"{pipeline}.yaml")
        files.write_text(out, text)
        typer.echo(f"{out}: upload it in Kubeflow's UI (Pipelines, Upload pipeline)")
        if "@sha256:" not in site.cpu_image:
            typer.echo(f"the cluster must find the images {site.cpu_image} and {site.cuda_image}; "
                       "--cpu-image and --cuda-image name others")  # fmt: skip


@app.command(rich_help_panel="Own the model")
def promote(
    version: Annotated[str, typer.Argument(help="A version number or an alias, e.g. challenger.")] = "challenger",
    workspace: Optional[Path] = None,
    name: Name = _NAME,
) -> None:
    """Make a model version the champion; the old one becomes `previous`."""
    with _plain_errors():
        from danqing.platform import registry, tracking

        uri = tracking.default_uri(workspace)
        now = registry.promote(int(version) if version.isdigit() else version, tracking_uri=uri, name=name)
        typer.echo(f"version {now.number} is champion")


@app.command(rich_help_panel="Own the model")
def drift(
    served: Annotated[Path, typer.Option(help="Folder in which gateways count (DANQING_GATEWAY_RECORDS).")],
    corpus: Annotated[Path, typer.Option(help="The annotated corpus, or the reference.json of an earlier report.")],
    out: Annotated[Path, typer.Option(help="Folder for drift.json and the report, which continues the last one.")],
    since: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day [default: 27 before the last].")] = "",
    until: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day [default: today, UTC].")] = "",
    assignments: Set = None,
) -> None:
    """Compare what was asked for and painted with the training set: drift.json, which the retrain trigger reads."""
    from danqing.commands.drift import drift_command

    with _plain_errors():
        drift_command(served, corpus, out, since=since, until=until,
                      overrides=presets.parse_assignments(assignments or []), say=typer.echo)  # fmt: skip


@app.command(rich_help_panel="Own the model")
def rollback(workspace: Optional[Path] = None, name: Name = _NAME) -> None:
    """Make the version before the champion the champion again."""
    with _plain_errors():
        from danqing.platform import registry, tracking

        now = registry.rollback(tracking_uri=tracking.default_uri(workspace), name=name)
        typer.echo(f"version {now.number} is champion again")


@app.command(rich_help_panel="Own the model")
def box(
    tokenizer: Annotated[Path, typer.Option()],
    painter: Annotated[Path, typer.Option()],
    card: Annotated[Path, typer.Option(help="The model card, Markdown.")],
    corpus: Annotated[Path, typer.Option(help="The works that it was trained on, annotated.")],
    out: Annotated[Path, typer.Option()] = Path("pretrained"),
    assignments: Set = None,
) -> None:
    """Write a model in the box (half-precision weights, graph, card) from a trained tokenizer and painter."""
    with _plain_errors():
        from danqing import files
        from danqing.export.package import write_box

        settings = presets.resolve("default", presets.parse_assignments(assignments or [])).export
        with files.storage(card):
            text = card.read_text(encoding="utf-8")
        typer.echo(write_box(tokenizer, painter, text, corpus=corpus, out=out, config=settings))


def _step_command(step: steps.Step) -> Any:
    """A sub-command for one step: an option for each input folder, --out, and the configuration's options."""

    def command(
        out: Path, params: Path | None, profile: str | None, assignments: list[str] | None, processes: int = 1,
        **given: Any,
    ) -> None:  # fmt: skip
        with _plain_errors():
            from danqing import files, launch, ranks
            from danqing.monitor import Monitor, Silent, Terminal

            if params is not None and profile is not None:
                raise DanqingError("give --params or --profile, not both")
            line = presets.load(params) if params is not None else presets.preset(profile or "default")
            line = presets.override(line, presets.parse_assignments(assignments or []))
            extra: dict[str, Any] = {}
            if step.name in ("gate", "register"):
                from danqing.platform import tracking, versioning

                extra["tracking_uri"] = os.environ.get("MLFLOW_TRACKING_URI") or tracking.default_uri()
                if step.name == "register":
                    # Where DVC made the package, the corpus that it was made from is dvc.yaml's, and has a revision.
                    made = versioning.dvc_revision(given["package"])
                    extra["lineage"] = versioning.lineage(line, data=Path("data/corpus") if made else None)
                else:
                    extra["model_name"] = line.register.name
            terminal = None if ranks.quiet() else Terminal(step.name)
            monitor: Monitor = terminal or Silent()
            with files.storage(out):
                out.mkdir(parents=True, exist_ok=True)
            section = getattr(line, step.section)
            try:
                if processes > 1:
                    outcome = launch.run(step.name, section, given, out, processes=processes, monitor=monitor)
                else:
                    outcome = steps.run(step.name, section, given, out, monitor=monitor, extra=extra)
            finally:
                if terminal is not None:
                    terminal.close()
            if ranks.quiet():
                return
            for name, value in outcome.metrics.items():
                typer.echo(f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}")
            if outcome.reused:
                typer.echo("unchanged: the remembered result was used")

    def parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    parameters = [
        parameter(name, Annotated[Path, typer.Option(help=f"Output folder of {source}.")])
        for name, source in step.inputs.items()
    ]
    parameters += [
        parameter("out", Annotated[Path, typer.Option(help="Folder to write.")]),
        parameter("params", Annotated[Optional[Path], typer.Option(help="A params.yaml.")], None),
        parameter("profile", Profile, None),
        parameter("assignments", Set, None),
    ]
    if step.parallel:
        several = typer.Option(min=1, help="Processes on this machine that share the work, e.g. one a GPU.")
        parameters.append(parameter("processes", Annotated[int, several], 1))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = f"Step {step.name} of the line" + (f" (reads {', '.join(step.inputs)})." if step.inputs else ".")
    return command


for _step in steps.STEPS.values():
    app.command(_step.name.replace("_", "-"), rich_help_panel="Steps of the line")(_step_command(_step))


if __name__ == "__main__":
    app()
