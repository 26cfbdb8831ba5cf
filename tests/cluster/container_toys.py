"""A pipeline of three containers that each run the few lines of Python that a test gives them."""

from kfp import dsl

from components import CPU_IMAGE
from components.ingest import ingest

# What every toy may use: where to write, how to tell, how to wait for the test.
PRELUDE = """
import json, os, pathlib, signal, sys, time
out = pathlib.Path(sys.argv[1])
given = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
def tell(**event):
    with open(os.environ["DANQING_EVENTS"], "a") as file:
        file.write(json.dumps({"step_name": os.environ["TOY"], "time": time.time(), **event}) + chr(10))
def wait():
    tell(progress=[0, 1])
    while not pathlib.Path(os.environ["DANQING_MEMO"], os.environ["TOY"], "go").exists():
        time.sleep(0.05)
"""


@dsl.container_component
def make(out: dsl.Output[dsl.Dataset], script: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=CPU_IMAGE, command=["python3", "-c", script], args=[out.path])


@dsl.container_component
def pause(out: dsl.Output[dsl.Dataset], script: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=CPU_IMAGE, command=["python3", "-c", script], args=[out.path])


@dsl.container_component
def use(given: dsl.Input[dsl.Dataset], out: dsl.Output[dsl.Dataset], script: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=CPU_IMAGE, command=["python3", "-c", script], args=[out.path, given.path])


@dsl.pipeline(name="toys")
def toys(make_script: str, pause_script: str, use_script: str) -> None:
    made = make(script=make_script).set_retry(num_retries=1, backoff_duration="0s")
    paused = pause(script=pause_script).after(made)
    use(given=made.outputs["out"], script=use_script).after(paused).set_retry(num_retries=1, backoff_duration="0s")


@dsl.pipeline(name="only-ingest")
def only_ingest(source: str, overrides: str, profile: str) -> None:
    ingest(source=source, overrides=overrides, profile=profile)
