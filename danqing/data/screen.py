"""The second step, Eq. 1: P(y|x) = softmax(W_f · GAP(F_L(x))), a ResNet-50 that tells themes and what is no painting.

It learns from what the corpus knows (brush scenes, catalogued works) and from pictures made here that are no paintings,
then judges every picture. Its word is heard only where it has shown, on pictures held out, that it can be trusted:
pictures that this program painted are never set aside, and if more than a fifth of the rest would go, none does.
Nothing in it is pretrained; the network lies in `screener.safetensors` beside the corpus, in half precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing import files
from danqing.config import Screen
from danqing.data import corpus
from danqing.data.corpus import Record, Rejected
from danqing.data.negatives import negative
from danqing.data.split import position
from danqing.errors import DataError
from danqing.monitor import Monitor
from danqing.taxonomy import THEMES
from danqing.train import loop

NOT_PAINTING = "not_painting"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOST_REJECTED = 0.2
"""A screener that throws out a larger share of a corpus is wrong about the corpus."""
TRUSTED = 0.9
"""Balanced accuracy on held-out paintings and non-paintings below which nothing is set aside."""


def network(classes: int) -> nn.Module:
    """A ResNet-50 without pretrained weights, its residual branches starting at zero."""
    from torchvision.models import resnet50

    net: nn.Module = resnet50(weights=None, num_classes=classes, zero_init_residual=True)
    return net


def normalise(pictures: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) → float (B, 3, H, W) with the network's mean and deviation."""
    x = pictures.permute(0, 3, 1, 2).float() / 255
    return (x - x.new_tensor(MEAN).view(1, 3, 1, 1)) / x.new_tensor(STD).view(1, 3, 1, 1)


class ScreenerFeatures(nn.Module):
    """The screening network as a source of features. Weights are frozen; gradients reach x."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def load(cls, folder: Path) -> ScreenerFeatures:
        """From a folder with screener.safetensors and screener.json, as the screen step writes it."""
        from safetensors.torch import load_file

        facts = files.read_json(Path(folder) / "screener.json")
        net = network(len(facts["classes"]))
        state = load_file(Path(folder) / "screener.safetensors")
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        return cls(net)

    def train(self, mode: bool = True) -> ScreenerFeatures:
        return super().train(False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """x (B, 3, H, W) in [-1, 1] → feature maps of the first three stages, [(B, C_i, H_i, W_i)]."""
        net: Any = self.net
        h = (x + 1) / 2
        h = (h - h.new_tensor(MEAN).view(1, 3, 1, 1)) / h.new_tensor(STD).view(1, 3, 1, 1)
        h = net.maxpool(net.relu(net.bn1(net.conv1(h))))
        found = []
        for stage in (net.layer1, net.layer2, net.layer3):
            h = stage(h)
            found.append(h)
        return found


class _Job:
    """Cross-entropy over the labelled pictures, rarer classes weighing more."""

    def __init__(self, config: Screen, pictures: np.ndarray, labels: np.ndarray, classes: int) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, loop.device()
        self.net = network(classes).to(self.device)
        self.pictures, self.labels = torch.from_numpy(pictures), torch.from_numpy(labels)
        counts = np.bincount(labels, minlength=classes).astype(np.float64)
        weights = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0)
        self.weights = torch.tensor(weights / weights[labels].mean(), dtype=torch.float32, device=self.device)
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=config.lr, weight_decay=0.01)
        self.modules: dict[str, nn.Module] = {"net": self.net}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"net": optimizer}

    def step(self, step: int, indices: np.ndarray) -> dict[str, float]:
        optimizer, steps = self.optimizers["net"], self.config.steps
        loop.set_lr(optimizer, self.config.lr * loop.warmup_cosine(step, steps, max(1, steps // 10)))
        x = self.pictures[indices].to(self.device)
        y = self.labels[indices].to(self.device)
        x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x, x.flip(2))
        logits = self.net.train()(normalise(x))
        loss = F.cross_entropy(logits, y, weight=self.weights, label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.item(), "accuracy": (logits.argmax(1) == y).float().mean().item()}


@torch.no_grad()
def probabilities(net: nn.Module, pictures: np.ndarray, monitor: Monitor | None = None) -> np.ndarray:
    """uint8 (N, S, S, 3) → float (N, classes)."""
    device, found = loop.device(), []
    net.eval()
    for start in range(0, len(pictures), 128):
        x = normalise(torch.from_numpy(pictures[start : start + 128]).to(device))
        found.append(net(x).softmax(1).cpu().numpy())
        if monitor is not None:
            monitor.progress(min(start + 128, len(pictures)), len(pictures), "judged")
    return np.concatenate(found)


def _small(data: bytes, size: int) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(corpus.decode(data), (size, size), interpolation=cv2.INTER_AREA))


def screen(corpus: Path, *, out: Path, config: Screen, monitor: Monitor, scratch: Path) -> dict[str, Any]:
    """Fill `screen_theme` and `screen_painting` of every record; write the network beside the corpus."""
    return _screen(Path(corpus), Path(out), config, monitor, Path(scratch))


def _screen(source: Path, out: Path, config: Screen, monitor: Monitor, scratch: Path) -> dict[str, Any]:

    rows, images = [], []
    for record in corpus.read(source, ["id", "image", "group", "theme", "source"]):
        images.append(_small(record.pop("image"), config.size))
        rows.append(record)
    pictures = np.stack(images)
    themes = [name for name in THEMES if any(row["theme"] == name for row in rows)]
    if not themes:
        raise DataError(f"{source}: no picture has a theme, so there is nothing to learn screening from; fill in the "
                        "theme column of metadata.csv, or ingest brush pictures as well")  # fmt: skip
    classes = [*themes, NOT_PAINTING]
    made = max(200, len(rows) // 4)
    wrong = np.stack([negative(config.seed, index, config.size) for index in range(made)])
    # The same hash as the split's: what the models are tested on is not learnt from here either.
    held = np.array([position(row["group"]) >= 0.8 for row in rows])
    known = np.array([row["theme"] in themes for row in rows])
    labels = np.array([classes.index(row["theme"]) if row["theme"] in themes else -1 for row in rows])
    wrong_held = np.arange(made) // 10 % 5 == 4  # whole rounds: every kind of negative is learnt and is tested
    learn = known & ~held if (known & ~held).any() else known
    job = _Job(
        config,
        np.concatenate([pictures[learn], wrong[~wrong_held]]),
        np.concatenate([labels[learn], np.full(int((~wrong_held).sum()), len(themes))]),
        len(classes),
    )
    history = loop.train(
        job, items=len(job.labels), batch=config.batch, steps=config.steps, seed=config.seed,
        scratch=scratch, checkpoint=max(1, config.steps // 4), log=1, monitor=monitor,
    )  # fmt: skip
    p = probabilities(job.net, pictures, monitor)
    p_wrong = probabilities(job.net, wrong[wrong_held])
    judged = {row["id"]: (themes[int(q[:-1].argmax())], float(1 - q[-1])) for row, q in zip(rows, p, strict=True)}
    metrics, rejected = _verdict(rows, p, p_wrong, labels, held & known, config)
    metrics = {"pictures": len(rows) - len(rejected), "loss": history[-1]["loss"], **metrics}
    reasons = {r.id: r for r in rejected}

    def kept() -> Iterator[Record]:
        for record in corpus.read(source):
            if record["id"] not in reasons:
                record["screen_theme"], record["screen_painting"] = judged[record["id"]]
                yield record

    corpus.write(out, kept(), [*corpus.rejected(source), *rejected])
    corpus.carry_labels(source, out)
    state = {k: v.half() if v.is_floating_point() else v for k, v in job.net.state_dict().items()}
    files.write_tensors(out / "screener.safetensors", state)
    files.write_json(
        out / "screener.json",
        {"network": "resnet50", "classes": classes, "size": config.size, "mean": list(MEAN), "std": list(STD),
         "threshold": config.threshold, "equation": 1},
    )  # fmt: skip
    files.write_json(out / "metrics.json", metrics)
    return metrics


def _verdict(
    rows: list[Record], p: np.ndarray, p_wrong: np.ndarray, labels: np.ndarray, test: np.ndarray, config: Screen
) -> tuple[dict[str, Any], list[Rejected]]:
    """How good the network is on what it has not seen, and which pictures it may set aside."""
    theme_accuracy = float((p[test, :-1].argmax(1) == labels[test]).mean()) if test.any() else -1.0
    commonest = Counter(labels[test].tolist()).most_common(1)[0][1] / int(test.sum()) if test.any() else -1.0
    passed = float((p[test, -1] < 0.5).mean()) if test.any() else float((p[:, -1] < 0.5).mean())
    caught = float((p_wrong[:, -1] >= 0.5).mean())
    balanced = (passed + caught) / 2
    foreign = [i for i, row in enumerate(rows) if row["source"] != "brush"]
    suspects = [i for i in foreign if p[i, -1] > config.threshold]
    share = len(suspects) / len(foreign) if foreign else 0.0
    trusted = balanced >= TRUSTED and share <= MOST_REJECTED
    rejected = [
        Rejected(id=rows[i]["id"], reason=f"no painting, says the screening network (P = {p[i, -1]:.3f})")
        for i in suspects
    ] if trusted else []  # fmt: skip
    return {
        "theme_accuracy": theme_accuracy,
        "theme_accuracy_of_commonest": float(commonest),
        "held_out": int(test.sum()),
        "painting_accuracy": balanced,
        "paintings_passed": passed,
        "negatives_caught": caught,
        "suspects": len(suspects),
        "suspect_share": share,
        "trusted": trusted,
        "set_aside": len(rejected),
    }, rejected
