"""TensorRT plans: a graph of the package compiled for one GPU model, and the record that keeps it from any other.

    danqing plan --package DIR --out DIR          on a machine of the pool that will serve

    DIR/generate.plan    what TensorRT built
    DIR/generate.json    for which GPU, TensorRT and package, in which precision, from which graph

A plan runs on the GPU model and the TensorRT version that built it, and its weights are baked in. TensorRT would find
some of that out when it loads a plan, and nothing of the last; `check` finds it out before a server is started.
"""

from __future__ import annotations

import importlib
import subprocess
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from danqing import files
from danqing.errors import ConfigError, ServingError, StorageError
from danqing.export.lowering import Precision, bytes_at_the_edges, lower, whole
from danqing.package import GENERATE, RESTORE, Package, file_of
from danqing.values import require

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to build."""

    precision: Precision = "mixed"
    """Of the products. With `fp16` and `bf16` a seed gives another picture: benchmarks/results/precision.md."""
    batches: tuple[int, ...] = (1, 4, 8)
    """Sizes that the plan is tuned for, one optimisation profile each, rising. Sizes between two are served by the
    larger one's profile, so that a server may send any batch up to the last."""
    graphs: tuple[str, ...] = (GENERATE, RESTORE)
    """Of these, the ones that the package has."""

    def __post_init__(self) -> None:
        known = get_args(Precision)
        require(self.precision in known, f"the precision is {self.precision!r}: use one of {', '.join(known)}")
        rising = tuple(sorted(set(self.batches)))
        require(
            bool(rising) and self.batches == rising and rising[0] >= 1 and rising[-1] <= 256,
            f"the batches are {list(self.batches)}: rising whole numbers from 1 to 256 are needed, e.g. 1,4,8",
        )

    def profiles(self) -> list[tuple[int, int, int]]:
        """The least batch, the one to tune for, and the most, of each optimisation profile."""
        return [(1 + before, batch, batch) for before, batch in zip((0, *self.batches), self.batches, strict=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a plan is bound to."""

    gpu: str
    compute_capability: str
    tensorrt: str

    @classmethod
    def here(cls) -> Machine:
        """This machine, by its driver and its TensorRT; ServingError where one of them is missing."""
        command = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
            name, capability = told.splitlines()[0].rsplit(",", 1)
        except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
            raise ServingError(
                "there is no NVIDIA GPU here (nvidia-smi does not answer): a plan is built and served on a machine "
                "that has the GPU which it is for; elsewhere onnxruntime serves the package without a plan"
            ) from error
        return cls(gpu=name.strip(), compute_capability=capability.strip(), tensorrt=str(_tensorrt().__version__))


def build(
    package: Path, out: Path, config: Plan, *, runtime: ModuleType | None = None, machine: Machine | None = None
) -> dict[str, Any]:
    """Build a plan of each graph for the machine where this runs; graph → its record, as beside each plan.

    A plan is whole or not there, and counts only with its record, which is written last. runtime: TensorRT itself if
    not given, or a module that speaks like it (tensorrt_rtx). Raises ServingError without a GPU or TensorRT, and where
    TensorRT cannot build the graph.
    """
    machine = machine or Machine.here()
    runtime = runtime or _tensorrt()
    model = Package.read(package)
    records = {}
    for graph in (graph for graph in config.graphs if graph in model.graphs):
        start = time.perf_counter()
        ready = prepare(model, graph, config.precision)
        try:
            plan = engine(runtime, ready, config.profiles(), exact=config.precision in ("fp32", "mixed"))
        except ServingError as error:
            raise ServingError(f"{model.folder / file_of(graph)}: {error}") from error
        files.write_bytes(out / f"{graph}.plan", plan)
        records[graph] = {
            "format": FORMAT,
            "graph": graph,
            **asdict(machine),
            "precision": config.precision,
            "batches": list(config.batches),
            "onnx_sha256": model.files[file_of(graph)],
            "package_sha256": model.digest,
            "plan_sha256": files.sha256(out / f"{graph}.plan"),
            "seconds": round(time.perf_counter() - start, 1),
        }
        files.write_json(out / f"{graph}.json", records[graph])
    return records


def check(plan: Path, package: Package, machine: Machine | None = None) -> dict[str, Any]:
    """The record of `plan` if it is for this package and for `machine` (None: this one).

    Raises StorageError if plan or record is damaged, ServingError that names everything that differs.
    """
    plan = Path(plan)
    record = _record(plan.with_suffix(".json"))
    if not plan.is_file():
        raise StorageError(f"{plan}: there is no such plan; `danqing plan` builds one")
    if files.sha256(plan) != record["plan_sha256"]:
        raise StorageError(
            f"{plan}: not what its record says, the building broke off or it was changed; build it again"
        )
    machine = machine or Machine.here()
    words = {"gpu": "GPU", "compute_capability": "compute capability", "tensorrt": "TensorRT"}
    differs = [
        f"{words[field.name]} {record[field.name]}, here is {getattr(machine, field.name)}"
        for field in fields(Machine) if record[field.name] != getattr(machine, field.name)
    ]  # fmt: skip
    if record["package_sha256"] != package.digest or record["onnx_sha256"] != package.files.get(f"{plan.stem}.onnx"):
        differs.append(f"package {record['package_sha256'][:12]}, this is {package.digest[:12]}")
    if record["graph"] != plan.stem:
        differs.append(f"graph {record['graph']}, the file is called {plan.name}")
    if differs:
        raise ServingError(
            f"{plan}: built for {'; for '.join(differs)}. Build it where it will run: "
            f"danqing plan --package {package.folder} --out {plan.parent}"
        )
    return record


def prepare(package: Package, graph: str, precision: Precision) -> bytes:
    """The ONNX graph that TensorRT gets."""
    return lower(bytes_at_the_edges(whole(package, graph)), precision).SerializeToString()


def parse(runtime: ModuleType, graph: bytes) -> tuple[Any, Any]:
    """A builder and the strongly typed network of an ONNX graph; ServingError names each operator that fails."""
    builder = runtime.Builder(runtime.Logger(runtime.Logger.ERROR))
    network = builder.create_network(1 << int(runtime.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = runtime.OnnxParser(network, builder.logger)
    if not parser.parse(graph):
        faults = [parser.get_error(number) for number in range(parser.num_errors)]
        told = "; ".join(f"{fault.node_name()} ({fault.node_operator()}): {fault.desc()}" for fault in faults)
        raise ServingError(f"TensorRT does not take the graph: {told}")
    return builder, network


def engine(runtime: ModuleType, graph: bytes, profiles: list[tuple[int, int, int]], *, exact: bool = True) -> bytes:
    """The serialised engine of an ONNX graph whose inputs have the batch in front.

    exact: single precision is meant; TensorRT by default takes TF32 for it, which keeps no more digits than half does.
    """
    builder, network = parse(runtime, graph)
    config = builder.create_builder_config()
    if exact:
        config.clear_flag(runtime.BuilderFlag.TF32)
    for low, best, high in profiles:
        profile = builder.create_optimization_profile()
        for number in range(network.num_inputs):
            value = network.get_input(number)
            rest = tuple(value.shape)[1:]
            profile.set_shape(value.name, (low, *rest), (best, *rest), (high, *rest))
        config.add_optimization_profile(profile)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise ServingError("TensorRT built no engine; its own lines above say why")
    return bytes(built)


def _tensorrt() -> ModuleType:
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:
        raise ServingError(
            "TensorRT's Python package is missing: use NVIDIA's Triton or TensorRT image, or "
            "pip install tensorrt (of the version that Triton has, or its plans will not load)"
        ) from error


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise StorageError(f"{path}: the plan's record is missing, so nobody knows what it is for; build it again")
    record = files.read_json(path)
    words = ["graph", *(field.name for field in fields(Machine)), "precision", "onnx_sha256", "package_sha256",
             "plan_sha256"]  # fmt: skip
    try:
        if record["format"] != FORMAT:
            raise StorageError(f"{path}: a record of format {record['format']!r}, this program reads {FORMAT}")
        if not all(isinstance(record[word], str) for word in words):
            raise ValueError("a text is expected")
        Plan(precision=record["precision"], batches=tuple(record["batches"]))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise StorageError(f"{path}: not a plan's record ({error}); build the plan again") from error
    return dict(record)
