"""Reading the file of events that steps append to (`danqing.monitor.Events`) while they run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def follow(path: Path, stop: threading.Event, every: float = 0.2) -> Iterator[list[Event]]:
    """Yield what was appended to `path` since the last time, about every `every` seconds (an empty list where nothing
    was), until `stop` is set and everything is read. A line that is still being written waits for its end."""
    position, rest = 0, b""
    while True:
        last = stop.is_set()  # looked at before reading, so that nothing appended before it is missed
        data = b""
        if path.is_file():
            with open(path, "rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield [json.loads(line) for line in lines if line.strip()]
        if last:
            return
        stop.wait(every)
