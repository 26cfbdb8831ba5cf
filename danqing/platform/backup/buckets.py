"""Buckets of an S3 store: what is in one, and its objects out and in, each with its hash."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from danqing.errors import StorageError
from danqing.platform import remote

_BLOCK = 1 << 20
_LARGEST = 5 * 1024**3  # of one request to S3


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An object as the store lists it."""

    key: str
    size: int
    tag: str
    """The store's ETag: another content has another."""


class Bucket:
    """The bucket `name` of the store that the environment names (`danqing.platform.remote.s3_client`).

    Methods raise StorageError and may be called from several threads.
    """

    def __init__(self, name: str, client: Any = None) -> None:
        self.name, self._client = name, client or remote.s3_client(timeout=60)

    def entries(self) -> list[Entry]:
        """Everything in it, in the order of the keys; directories, which some stores invent, left out."""
        found = []
        with self._asking(""):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name):
                for one in page.get("Contents", []):
                    if not (one["Key"].endswith("/") and one["Size"] == 0):
                        found.append(Entry(key=one["Key"], size=one["Size"], tag=one["ETag"].strip('"')))
        return sorted(found, key=lambda entry: entry.key)

    def make(self) -> None:
        """Make the bucket unless it is there."""
        from botocore.exceptions import ClientError

        with self._asking(""):
            try:
                self._client.head_bucket(Bucket=self.name)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                self._client.create_bucket(Bucket=self.name)

    def read(self, key: str, into: IO[bytes] | None = None) -> tuple[str, int]:
        """(SHA-256, bytes) of an object; its content goes into the open file `into`."""
        digest, size = hashlib.sha256(), 0
        with self._asking(key):
            answer = self._client.get_object(Bucket=self.name, Key=key)
            for block in answer["Body"].iter_chunks(_BLOCK):
                digest.update(block)
                size += len(block)
                if into is not None:
                    into.write(block)
        if size != answer["ContentLength"]:
            raise StorageError(f"s3://{self.name}/{key}: {size} of {answer['ContentLength']} bytes came; run it again")
        return digest.hexdigest(), size

    def write(self, key: str, file: Path) -> None:
        """Put the content of `file` there."""
        if file.stat().st_size > _LARGEST:
            raise StorageError(
                f"s3://{self.name}/{key}: larger than 5 GiB, which this does not put back; use aws s3 cp"
            )
        with self._asking(key), open(file, "rb") as content:
            self._client.put_object(Bucket=self.name, Key=key, Body=content)

    @contextlib.contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        where = f"s3://{self.name}/{key}".rstrip("/")
        try:
            yield
        except ClientError as error:
            code, hint = error.response["Error"].get("Code", ""), ""
            if code == "NoSuchKey":
                hint = "; it went away meanwhile: let no `gc` run beside a backup"
            raise StorageError(f"{where}: the store answers {code or error}{hint}") from error
        except (BotoCoreError, HTTPError) as error:
            raise StorageError(f"{where}: {' '.join(str(error).split())}") from error
