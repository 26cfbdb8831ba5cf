"""Public-domain Chinese paintings from the open interfaces of two museums, politely.

* The Metropolitan Museum of Art, Collection API: `/public/collection/v1/search`, `/public/collection/v1/objects/{id}`.
* The Art Institute of Chicago, API: `/api/v1/artworks/search` with `fields`; pictures through IIIF.

`DANQING_MET_URL` and `DANQING_ARTIC_URL` in the environment, or `ingest.met_url` and `ingest.artic_url`, point
elsewhere (a mirror, a test server). What the searches answered is kept until the step has ended well, and every picture
that has arrived is on disk: a run that is killed goes on with the next one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from danqing import files
from danqing.config import Ingest
from danqing.data import metadata
from danqing.data.corpus import Rejected
from danqing.data.pictures import Unusable, check, dimensions
from danqing.data.sources import Failed, Fetched, Item
from danqing.data.sources.http import Http, TooLarge, Unavailable
from danqing.errors import DataError

ASIAN_ART = 6
"""The Met's department; the search cannot ask for a culture."""
PAGE = 100
"""Works a page of the Art Institute's search; it serves at most ten such pages."""
ENOUGH = 256
"""The smaller of a museum's pictures is taken when its short side has so many pixels."""
GIVE_UP = 10
"""Works in a row that cannot be had: the museum is down, not the work."""

_ARTIC_FIELDS = (
    "id,title,alt_titles,artist_title,date_display,place_of_origin,medium_display,classification_titles,subject_titles,"
    "style_titles,is_public_domain,image_id,thumbnail"
)


class Museum:
    batch = 1

    def __init__(self, config: Ingest, state: Path) -> None:
        self._config, self._state = config, state
        self.limit: int | None = config.count
        self._met = os.environ.get("DANQING_MET_URL", config.met_url).rstrip("/")
        self._artic = os.environ.get("DANQING_ARTIC_URL", config.artic_url).rstrip("/")
        self._http = Http(rate=config.rate, timeout=config.timeout, tries=config.tries, backoff=config.backoff)
        self._failures = dict.fromkeys(config.museums, 0)

    def close(self) -> None:
        self._http.close()

    def listing(self) -> list[Item | Rejected]:
        """The works that the searches find, museums taking turns, public domain only."""
        kept = self._state / "listing.json"
        if kept.is_file():
            entries = files.read_json(kept)
        else:
            found = {"met": self._search_met, "artic": self._search_artic}
            unknown = [name for name in self._config.museums if name not in found]
            if unknown:
                raise DataError(f"ingest.museums names {unknown[0]!r}: known are met, artic")
            lists = [found[name]() for name in self._config.museums]
            longest = max((len(entries) for entries in lists), default=0)
            entries = [entries[k] for k in range(longest) for entries in lists if k < len(entries)]
            files.write_json(kept, entries)
        return [Item(id=entry["id"], where=entry["where"], fields=entry["fields"]) for entry in entries]

    def _search(self, url: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._http.json(url, parameters)
        except Unavailable as error:
            raise DataError(f"{url}: the museum cannot be asked ({error}); run again later") from None
        return answer

    def _search_met(self) -> list[dict[str, Any]]:
        answer = self._search(
            f"{self._met}/public/collection/v1/search",
            {"q": self._config.query, "departmentId": ASIAN_ART, "medium": "Paintings", "hasImages": "true"},
        )
        numbers = [n for n in answer.get("objectIDs") or [] if isinstance(n, int)]
        return [{"id": f"met-{n}", "where": ["met", n], "fields": {}} for n in dict.fromkeys(numbers)]

    def _search_artic(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        for page in range(1, 11):
            answer = self._search(
                f"{self._artic}/api/v1/artworks/search",
                {"q": self._config.query, "query[term][is_public_domain]": "true", "fields": _ARTIC_FIELDS,
                 "limit": PAGE, "page": page},
            )  # fmt: skip
            iiif = str((answer.get("config") or {}).get("iiif_url") or f"{self._artic}/iiif/2").rstrip("/")
            for work in answer.get("data") or []:
                if isinstance(work, dict) and _is_ours(work):
                    entries.append(_artic_entry(work, iiif))
            pages = (answer.get("pagination") or {}).get("total_pages") or 1
            if page >= pages or len(entries) >= 2 * self._config.count:
                break
        return entries

    def fetch(self, items: Sequence[Item]) -> Iterator[Fetched | Rejected | Failed]:
        for item in items:
            museum = item.where[0]
            if self._failures[museum] >= GIVE_UP:
                yield Failed(id=item.id, reason="the museum was out of reach")
                continue
            got: Fetched | Rejected | Failed
            try:
                got = self._met_work(item) if museum == "met" else self._artic_work(item)
                self._failures[museum] = 0
            except Unavailable as error:
                self._failures[museum] += 1
                got = Failed(id=item.id, reason=str(error))
                if all(self._failures[name] >= GIVE_UP for name in self._config.museums):
                    raise DataError(
                        f"{GIVE_UP} works in a row could not be had ({error}); run again later, all so far is kept"
                    ) from None
            yield got

    def _met_work(self, item: Item) -> Fetched | Rejected:
        work = self._http.json(f"{self._met}/public/collection/v1/objects/{item.where[1]}", {}, absent=True)
        if not work:
            return Rejected(id=item.id, reason="the museum no longer has this work")
        if work.get("isPublicDomain") is not True:
            return Rejected(id=item.id, reason="not in the public domain")
        if "chin" not in f"{work.get('culture', '')}".lower():
            return Rejected(id=item.id, reason=f"culture is {work.get('culture', '')!r}, not China")
        small, large = work.get("primaryImageSmall") or "", work.get("primaryImage") or ""
        return self._picture(item, [url for url in (small, large) if url], _met_fields(work))

    def _artic_work(self, item: Item) -> Fetched | Rejected:
        base = item.where[1]
        return self._picture(item, [f"{base}/full/843,/0/default.jpg", f"{base}/full/full/0/default.jpg"], item.fields)

    def _picture(self, item: Item, urls: list[str], fields: dict[str, Any]) -> Fetched | Rejected:
        """The first of `urls` that holds a large enough picture, else the last usable one."""
        c = self._config
        limits = {"store": c.store, "max_pixels": c.max_pixels, "max_bytes": c.max_bytes}
        best: bytes | None = None
        reason = "the museum shows no picture of it"
        for url in urls:
            for _ in range(2):  # a broken transfer is asked for once more
                try:
                    data = self._http.body(url, self._config.max_bytes)
                    check(data, **limits)
                except TooLarge as error:
                    reason = str(error)
                    break
                except Unusable as error:
                    reason = str(error)
                    continue
                best = data
                break
            if best is not None and min(dimensions(best)) >= ENOUGH:
                break
        if best is None:
            return Rejected(id=item.id, reason=reason)
        return Fetched(id=item.id, data=best, fields=fields)


def _is_ours(work: dict[str, Any]) -> bool:
    kinds = " ".join(str(k) for k in work.get("classification_titles") or []).lower()
    return bool(
        work.get("is_public_domain") is True
        and work.get("image_id")
        and "chin" in str(work.get("place_of_origin") or "").lower()
        and ("painting" in kinds or "scroll" in kinds or "album" in kinds)
    )


def _with_facts(fields: dict[str, Any], period: str) -> dict[str, Any]:
    return fields | metadata.facts({**fields, "period": period, "genre": ""})


def _met_fields(work: dict[str, Any]) -> dict[str, Any]:
    def text(name: str) -> str:
        return str(work.get(name) or "")

    tags = "; ".join(str(tag.get("term", "")) for tag in work.get("tags") or [] if isinstance(tag, dict))
    english, _, chinese = text("title").partition("  ")
    number = text("objectID")
    return _with_facts(
        {"source": "met", "source_id": number, "source_url": text("objectURL"), "group": f"met-{number}",
         "institution": text("repository") or "The Metropolitan Museum of Art", "licence": "CC0-1.0", "title": english,
         "title_zh": chinese, "artist": text("artistDisplayName"), "date": text("objectDate"),
         "medium": text("medium"), "tags": tags},
        f"{text('period')} {text('dynasty')}",
    )  # fmt: skip


def _artic_entry(work: dict[str, Any], iiif: str) -> dict[str, Any]:
    number = str(work["id"])
    tags = "; ".join(str(tag) for tag in [*(work.get("subject_titles") or []), *(work.get("style_titles") or [])])
    fields = _with_facts(
        {"source": "artic", "source_id": number, "source_url": f"https://www.artic.edu/artworks/{number}",
         "group": f"artic-{number}", "institution": "The Art Institute of Chicago", "licence": "CC0-1.0",
         "title": str(work.get("title") or ""), "title_zh": "", "artist": str(work.get("artist_title") or ""),
         "date": str(work.get("date_display") or ""), "medium": str(work.get("medium_display") or ""), "tags": tags},
        f"{work.get('date_display') or ''} {json.dumps(work.get('style_titles') or [])}",
    )  # fmt: skip
    return {"id": f"artic-{number}", "where": ["artic", f"{iiif}/{work['image_id']}"], "fields": fields}
