"""Pictures painted by this program: seeded ink scenes whose every element is known."""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from danqing.data import corpus
from danqing.data.corpus import Rejected
from danqing.data.sources import Fetched, Item

_MIX = 1_000_003  # keeps the scenes of neighbouring corpus seeds apart


def scene_fields(scene: Any) -> dict[str, Any]:
    """The corpus columns that are true of a `danqing.data.brush.Scene`."""
    from danqing.data.brush import caption

    en, zh = caption(scene)
    facts = scene.as_dict()
    same = ("theme", "subtheme", "category", "content", "technique", "season", "palette", "main", "white_space")
    return {name: facts[name] for name in same} | {
        "elements": json.dumps(facts["elements"], ensure_ascii=False),
        "medium": f"{'ink' if facts['palette'] == 'ink' else 'ink and colour'} on {facts['ground']}",
        "tags": f"{facts['ink']} ink; {facts['composition']}",
        "epoch": "modern",
        "caption_en": en,
        "caption_zh": zh,
        "caption_origin": "truth",
    }


def _paint(job: tuple[str, int, str, int]) -> Fetched:
    from danqing.data.brush import compose, paint

    name, seed, main, size = job
    scene = compose(seed, main=main)
    return Fetched(id=name, data=corpus.encode(paint(scene, size)), fields=scene_fields(scene))


def _begin(parent: int) -> None:
    """What a worker does first: paint on one core, and end when the process `parent`, which started it, is gone."""
    import cv2

    cv2.setNumThreads(1)  # one process a core is enough

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # a parent that was killed has told nobody: the worker would wait for its next job for ever

    threading.Thread(target=watch, daemon=True).start()


class Brush:
    """`count` scenes of `size` pixels; scene i of a seed is the same whatever the count."""

    batch = 512
    limit: int | None = None

    def __init__(self, *, count: int, size: int, seed: int) -> None:
        self._count, self._size, self._seed = count, size, seed
        self._pool: ProcessPoolExecutor | None = None

    def listing(self) -> list[Item | Rejected]:
        from danqing.data.brush import MAINS

        found: list[Item | Rejected] = []
        for index in range(self._count):
            seed = self._seed * _MIX + index
            name = f"brush-{seed:08d}"
            # Mains take turns, so that every one has its share of every corpus size.
            found.append(
                Item(id=name, where=[seed, MAINS[index % len(MAINS)]],
                     fields={"source": "brush", "source_id": str(seed), "group": name, "licence": "CC0-1.0",
                             "institution": "danqing brush"})
            )  # fmt: skip
        return found

    def fetch(self, items: Sequence[Item]) -> Iterator[Fetched]:
        jobs = [(item.id, item.where[0], item.where[1], self._size) for item in items]
        workers = min(os.cpu_count() or 1, len(jobs))
        if workers < 2 or len(jobs) < 64:
            painted: Iterator[Fetched] = map(_paint, jobs)
        else:
            if self._pool is None:
                # A forked child of a process that runs threads can hang; a fresh one cannot.
                self._pool = ProcessPoolExecutor(
                    workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
                )
                atexit.register(self.close)
            painted = self._pool.map(_paint, jobs, chunksize=16)
        for item, picture in zip(items, painted, strict=True):
            yield Fetched(id=item.id, data=picture.data, fields=item.fields | picture.fields)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
