"""Artifacts in an S3 store: files and folders out and in, each file with its SHA-256.

A store that is away is asked again for a while; what cannot get better by waiting is one line that says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from danqing import files
from danqing.errors import StorageError

Content = Mapping[str, str]
"""Path of each file below the artifact → its SHA-256; the path of an artifact that is one file is empty."""
T = TypeVar("T")

_AT_ONCE = 4
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0
# What another try may mend, beside every answer from 500 up.
_PASSING = ("SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestTimeTooSkewed")
_NO_RIGHT = ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")


class Store:
    """The place `s3://bucket/prefix`. Methods raise StorageError and may be called from several threads."""

    def __init__(self, bucket: str, prefix: str, endpoint: str, patience: float, say: Callable[[str], None] = print):
        """endpoint: "" is Amazon's own. patience: seconds for which a store that is away is asked again."""
        import boto3
        from botocore.config import Config

        # Waiting is done here, where it can be told; the pool has room for every part of every file on the way.
        config = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1},
                        max_pool_connections=_AT_ONCE * _AT_ONCE)  # fmt: skip
        session = boto3.session.Session()
        region = session.region_name or "us-east-1"
        self._client = session.client("s3", endpoint_url=endpoint or None, region_name=region, config=config)
        self.bucket, self.prefix, self.endpoint = bucket, prefix.strip("/"), endpoint or "Amazon S3"
        self._patience, self._say = patience, say

    def check(self) -> None:
        """Raise StorageError unless the bucket is there and the key may use it; without waiting."""
        self._ask("", lambda: self._client.head_bucket(Bucket=self.bucket), patience=0.0)

    def address(self, key: str) -> str:
        return "s3://" + "/".join(part for part in (self.bucket, self.prefix, key) if part)

    def put(self, source: Path, key: str) -> Content:
        """Copy the file or folder `source` there. A folder without files leaves nothing."""
        plain(source)
        paths = {"": source} if source.is_file() else {
            path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*")) if path.is_file()
        }  # fmt: skip
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            digests = list(pool.map(lambda item: self._put(item[1], _join(key, item[0])), paths.items()))
        return dict(zip(paths, digests, strict=True))

    def get(self, key: str, content: Content, target: Path) -> None:
        """Make `target` what `put` returned as `content`. What comes as something else twice is an error."""
        if "" not in content:
            target.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda item: self._get(_join(key, item[0]), item[1], target / item[0]), content.items()))

    def _put(self, source: Path, key: str) -> str:
        digest = files.sha256(source)

        def send() -> None:
            with open(source, "rb") as file:
                self._client.upload_fileobj(
                    file, self.bucket, _join(self.prefix, key), ExtraArgs={"Metadata": {"sha256": digest}},
                    Config=_transfer(),
                )  # fmt: skip

        self._ask(key, send)
        return digest

    def _get(self, key: str, digest: str, target: Path) -> None:
        def fetch() -> str:
            with files.atomic(target) as temporary:
                with open(temporary, "wb") as file:
                    self._client.download_fileobj(self.bucket, _join(self.prefix, key), file, Config=_transfer())
                return files.sha256(temporary)

        for _ in range(2):  # a transfer may go wrong; what comes wrong twice lies wrong
            found = self._ask(key, fetch)
            if found == digest:
                return
        target.unlink()
        raise StorageError(
            f"{self.address(key)} at {self.endpoint} is damaged: its SHA-256 is {found[:12]}…, stored was "
            f"{digest[:12]}…; look after the store's disks, then run again"
        )

    def _ask(self, key: str, act: Callable[[], T], patience: float | None = None) -> T:
        deadline = time.monotonic() + (self._patience if patience is None else patience)
        wait = _FIRST_WAIT
        while True:
            try:
                return act()
            except Exception as error:
                cause, advice, passing = _meaning(error, self.bucket)
                if not cause:
                    raise
                where = f"{self.address(key)} at {self.endpoint}"
                if not passing or time.monotonic() + wait > deadline:
                    raise StorageError(f"{where}: {cause}; {advice}") from error
                self._say(f"{where}: {cause}; asking again in {wait:g} s")
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)


def plain(path: Path) -> None:
    """Raise StorageError if `path` is or holds a link: a container could point it at any file of this machine."""
    for item in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        if item.is_symlink():
            raise StorageError(f"{item}: a link; what a step puts out must be plain files")


def _meaning(error: Exception, bucket: str) -> tuple[str, str, bool]:
    """(cause, what to do, whether waiting may help) of an S3 client's error; an empty cause: it is none of those."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
    from urllib3.exceptions import HTTPError

    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "no key to the store", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", False
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _NO_RIGHT:
            advice = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what that key may do"
            return f"the store refuses the key ({code})", advice, False
        if code == "NoSuchBucket" or (code == "404" and error.operation_name == "HeadBucket"):
            return "there is no such bucket", f"make it (aws s3 mb s3://{bucket}) or name another by --store", False
        if code in ("NoSuchKey", "404"):
            return "it is gone from the store", "run again to make it anew, and look who deletes there", False
        return f"the store answers {code or status}", "look into its log", status >= 500 or code in _PASSING
    if isinstance(error, (BotoCoreError, Boto3Error, HTTPError)) or type(error).__module__.startswith("s3transfer"):
        told = " ".join(str(error).split())
        return f"the store does not answer ({told})", "start it, or check AWS_ENDPOINT_URL, then run again", True
    return "", "", False


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(max_concurrency=_AT_ONCE)


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
