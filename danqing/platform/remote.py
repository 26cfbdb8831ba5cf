"""Small files from wherever a deployment keeps them: a path, http(s)://, or s3://."""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from danqing import files
from danqing.errors import StorageError

LARGEST = 10_000_000
"""Bytes that are read at most."""


def s3_client(timeout: int = 30) -> Any:
    """An S3 client from $AWS_ACCESS_KEY_ID, $AWS_SECRET_ACCESS_KEY and $MLFLOW_S3_ENDPOINT_URL or $AWS_ENDPOINT_URL."""
    import botocore.session
    from botocore.config import Config

    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL") or None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    limits = Config(connect_timeout=timeout, read_timeout=timeout, retries={"max_attempts": 3, "mode": "standard"},
                    max_pool_connections=16)  # fmt: skip
    return botocore.session.Session().create_client("s3", endpoint_url=endpoint, region_name=region, config=limits)


def read_text(address: str, *, timeout: int = 20, token: str = "") -> str:
    """The text at `address`. token: sent as a bearer token with http(s). Raises StorageError."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme in ("http", "https"):
        data = _http(address, timeout, token)
    elif parts.scheme == "s3":
        data = _s3(parts.netloc, parts.path.lstrip("/"), address, timeout)
    else:
        with files.storage(Path(address)), open(address, "rb") as file:
            data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise StorageError(f"{address}: larger than {LARGEST // 1_000_000} MB; is the address right?")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise StorageError(f"{address}: no text; is the address right?") from None


def _http(address: str, timeout: int, token: str) -> bytes:
    request = urllib.request.Request(address)  # noqa: S310 - http(s) only, see above
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")  # not for another host
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            data: bytes = answer.read(LARGEST + 1)
            return data
    except (OSError, urllib.error.URLError) as error:
        raise StorageError(f"{address}: {getattr(error, 'reason', None) or error}") from error


def _s3(bucket: str, key: str, address: str, timeout: int) -> bytes:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = s3_client(timeout).get_object(Bucket=bucket, Key=key)
        data: bytes = answer["Body"].read(LARGEST + 1)
        return data
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"{address}: {error}") from error
