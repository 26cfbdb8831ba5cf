"""A local server that speaks the two museums' interfaces, with a drawer of faults to choose from."""

from __future__ import annotations

import csv
import json
import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

MET_SEARCH = "/public/collection/v1/search"
ARTIC_SEARCH = "/api/v1/artworks/search"


@dataclass
class Museum:
    """What the server has and how it behaves. Faults: path → the answers before the true one, each used once."""

    pictures: dict[int, bytes]
    facts: dict[int, dict[str, str]]
    url: str = ""
    faults: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    times: list[float] = field(default_factory=list)
    private: set[int] = field(default_factory=set)
    page: int = 4
    answer_until: int | None = None
    """After so many requests the server closes every connection without a word."""

    def count(self, start: str) -> int:
        return sum(path.startswith(start) for path in self.asked)

    def repeated(self) -> dict[str, int]:
        return {path: n for path, n in Counter(self.asked).items() if n > 1}

    def met_object(self, number: int) -> dict[str, object]:
        facts = self.facts.get(number, {})
        return {
            "objectID": number, "isPublicDomain": number not in self.private, "culture": "China",
            "primaryImage": f"{self.url}/images/original/{number}.jpg",
            "primaryImageSmall": f"{self.url}/images/web-large/{number}.jpg",
            "title": facts.get("title", f"Work {number}"), "artistDisplayName": facts.get("artist", ""),
            "objectDate": facts.get("date", ""), "period": facts.get("period", ""), "dynasty": "",
            "medium": facts.get("medium", "Hanging scroll; ink on paper"), "objectURL": f"{self.url}/art/{number}",
            "repository": "Metropolitan Museum of Art, New York, NY",
            "tags": [{"term": t, "AAT_URL": ""} for t in facts.get("tags", "").split("; ") if t] or None,
        }  # fmt: skip

    def artic_work(self, number: int) -> dict[str, object]:
        facts = self.facts.get(number, {})
        return {
            "id": number, "title": facts.get("title", f"Work {number}"), "artist_title": facts.get("artist", ""),
            "date_display": facts.get("date", ""), "place_of_origin": "China",
            "is_public_domain": number not in self.private,
            "medium_display": "Ink on silk", "classification_titles": ["painting", "asian art"],
            "subject_titles": ["landscapes"], "style_titles": ["chinese (culture or style)"],
            "image_id": f"image-{number}", "thumbnail": None,
        }  # fmt: skip


def _picture_number(path: str) -> int:
    found = re.search(r"(?:original/|web-large/|image-)(\d+)", path)
    return int(found[1]) if found else -1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    museum: Museum

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        m = self.museum
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        path = parts.path + (f"?page={query['page'][0]}" if "page" in query else "")
        m.asked.append(path)
        m.times.append(time.monotonic())
        m.agents.add(self.headers.get("User-Agent", ""))
        if m.answer_until is not None and len(m.asked) > m.answer_until:
            self.close_connection = True
            return
        if m.faults[path] and self._misbehave(m.faults[path].popleft()):
            return
        body = self._body(parts.path, query)
        if body is None:
            self._send(404, b'{"message": "not found"}', "application/json")
        else:
            self._send(200, body, "image/jpeg" if "image" in parts.path else "application/json")

    def _body(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        m = self.museum
        if path == MET_SEARCH:
            return json.dumps({"total": len(m.facts), "objectIDs": [n for n in m.facts if n < 1000]}).encode()
        if path == ARTIC_SEARCH:
            works = [m.artic_work(n) for n in m.facts if n >= 1000]
            page = int(query["page"][0])
            return json.dumps(
                {"pagination": {"total": len(works), "total_pages": -(-len(works) // m.page), "current_page": page},
                 "data": works[(page - 1) * m.page : page * m.page], "config": {"iiif_url": f"{m.url}/iiif/2"}}
            ).encode()  # fmt: skip
        if found := re.fullmatch(r"/public/collection/v1/objects/(\d+)", path):
            number = int(found[1])
            return json.dumps(m.met_object(number)).encode() if number in m.facts else None
        return m.pictures.get(_picture_number(path))

    def _misbehave(self, fault: str) -> bool:
        """Send the fault; False where the true answer must follow."""
        kind, _, value = fault.partition(":")
        if kind == "status":
            self._send(int(value), b"sorry", "text/plain")
        elif kind == "retry-after":
            self._send(429, b"slow down", "text/plain", {"Retry-After": value})
        elif kind == "redirect":
            self._send(302, b"", "text/plain", {"Location": value})
        elif kind == "slow":
            time.sleep(float(value))
            return False
        elif kind == "cut":  # promises more than it sends
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"\xff\xd8\xff" + b"x" * 500)
            self.close_connection = True
        elif kind == "half":  # a whole answer that holds half a picture
            body = self.museum.pictures[_picture_number(self.path)]
            self._send(200, body[: len(body) // 2], "image/jpeg")
        elif kind == "html":
            self._send(200, b"<html>maintenance</html>", "text/html")
        elif kind == "huge":
            self._send(200, b"\xff\xd8\xff" + b"x" * int(value), "image/jpeg")
        return True

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def serve(museum: Museum) -> Iterator[Museum]:
    handler = type("Handler", (_Handler,), {"museum": museum})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    museum.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield museum
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stock(shared: Path | None) -> tuple[dict[int, bytes], dict[int, dict[str, str]]]:
    """Eight works of either museum: real paintings where they are at hand, else painted ones. Numbers from 1 are the
    Met's, from 1001 the Art Institute's."""
    numbers = [*range(1, 9), *range(1001, 1009)]
    if shared is not None:
        with open(shared / "paintings" / "metadata.csv", encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))[: len(numbers)]
        pictures = {n: (shared / "paintings" / row["file"]).read_bytes() for n, row in zip(numbers, rows, strict=True)}
        return pictures, dict(zip(numbers, rows, strict=True))
    import cv2

    from danqing.data.brush import compose, paint

    def jpeg(seed: int) -> bytes:
        return cv2.imencode(".jpg", paint(compose(seed), 280)[..., ::-1])[1].tobytes()

    facts = {"title": "Wintry Mountains", "period": "Qing dynasty (1644–1911)", "tags": "Mountains"}
    return {n: jpeg(n) for n in numbers}, {n: dict(facts) for n in numbers}
