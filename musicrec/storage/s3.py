"""Published files in an S3 bucket, through boto3: in parts, with retries and checksums."""

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as BotoConnectionError

from musicrec.errors import StorageError
from musicrec.storage.protocol import Progress

PART_BYTES = 16 << 20
# Checksums of answers stay off: botocore cannot parse a server's error 500 then, and a run's manifest has stronger ones.
_CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 4},
                 response_checksum_validation="when_required")
_TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
_CODES = {
    "InvalidAccessKeyId": "does not know the key in AWS_ACCESS_KEY_ID; check it in .env",
    "SignatureDoesNotMatch": "does not accept AWS_SECRET_ACCESS_KEY for this key; check it in .env",
    "NoSuchBucket": "has no such bucket; create it or correct the location",
    "AccessDenied": "refuses access; check the keys in .env and their rights on the bucket",
    "403": "refuses access; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in .env and their rights on the bucket",
    "404": "has no such bucket or key",
    "NoSuchKey": "has no such key",
    "SlowDown": "asks to slow down; try again later",
}
_SILENT = "does not answer; check S3_ENDPOINT_URL, start the server and try again"
_MISSING = {"404", "NoSuchKey"}


@dataclass(frozen=True)
class S3Storage:
    """Keys are objects below `prefix` (empty, or ending with a slash) of `bucket`.

    Files above PART_BYTES travel in parts of that size, four at a time. A request is tried four times with growing pauses.
    An object appears only when all its parts have arrived.
    """

    bucket: str
    prefix: str
    endpoint: str | None
    key_id: str | None = field(repr=False, default=None)
    secret: str | None = field(repr=False, default=None)

    @property
    def location(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @classmethod
    def at(cls, location: str, environment: Mapping[str, str]) -> Self:
        """The storage at s3://bucket/prefix; without a bucket (s3:///prefix) S3_BUCKET_NAME names it.

        S3_ENDPOINT_URL is the server (Amazon's own without it). Without AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY boto3
        looks where it usually does. Raises StorageError when no bucket is named.
        """
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        bucket = bucket or environment.get("S3_BUCKET_NAME", "")
        if not bucket:
            raise StorageError(f"location {location!r} names no bucket; write s3://bucket/prefix or set S3_BUCKET_NAME in .env.")
        prefix = prefix.strip("/")
        return cls(bucket, f"{prefix}/" if prefix else "", environment.get("S3_ENDPOINT_URL"),
                   environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY"))

    def preflight(self) -> None:
        """Return when the bucket answers and a test object can be written and removed again."""
        with self._sentences("is not reachable", ""):
            self._client.head_bucket(Bucket=self.bucket)
        probe = f"preflight-{uuid.uuid4().hex}.txt"
        self.write(probe, b"test")
        self.delete(probe)

    def upload(self, local: Path, key: str, progress: Progress | None = None) -> None:
        """Send `local`, in parts when it is large; the server checks a checksum of every part where it can."""
        with self._sentences(f"cannot be written from {local}", key):
            self._client.upload_file(str(local), self.bucket, self.prefix + key, Config=_TRANSFER, Callback=_in_turn(progress))

    def download(self, key: str, local: Path, progress: Progress | None = None) -> None:
        """Fetch `key`, in parts when it is large, into a file that appears under its name when it is whole."""
        half = local.with_name(f"{local.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with self._sentences(f"cannot be fetched to {local}", key):
                local.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(self.bucket, self.prefix + key, str(half), Config=_TRANSFER, Callback=_in_turn(progress))
                half.replace(local)
        finally:
            half.unlink(missing_ok=True)

    def read(self, key: str) -> bytes:
        """All bytes under `key`."""
        with self._sentences("cannot be read", key):
            content: bytes = self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()
            return content

    def write(self, key: str, content: bytes) -> None:
        """Put `content` as one object."""
        with self._sentences("cannot be written", key):
            self._client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content)

    def exists(self, key: str) -> bool:
        """Whether the object is there. One request."""
        with self._sentences("cannot be looked up", key):
            try:
                self._client.head_object(Bucket=self.bucket, Key=self.prefix + key)
            except ClientError as cause:
                if cause.response["Error"]["Code"] in _MISSING:
                    return False
                raise
        return True

    def list(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, ascending. One request a thousand keys."""
        with self._sentences("cannot be listed", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            return sorted(entry["Key"].removeprefix(self.prefix) for page in pages for entry in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        """Remove the object."""
        with self._sentences("cannot be removed", key):
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def file(self, key: str) -> Path | None:
        """None: objects are not files of this machine."""
        return None

    @cached_property
    def _client(self) -> Any:
        # path-style addresses, because servers other than Amazon's rarely answer under bucket.host
        config = _CONFIG.merge(Config(s3={"addressing_style": "path"})) if self.endpoint else _CONFIG
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=self.key_id, aws_secret_access_key=self.secret,
                            region_name="us-east-1" if self.endpoint else None, config=config)

    @contextmanager
    def _sentences(self, failed: str, key: str) -> Iterator[None]:
        what = f"s3://{self.bucket}/{self.prefix}{key}".rstrip("/")
        server = self.endpoint or "Amazon S3"
        try:
            yield
        except NoCredentialsError:
            raise StorageError(f"{what} {failed}: no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in .env.") from None
        except (ClientError, Boto3Error) as cause:
            raise StorageError(f"{what} {failed}: {server} {_reason(cause)}.") from None
        except (BotoConnectionError, HTTPClientError):
            raise StorageError(f"{what} {failed}: {server} {_SILENT}.") from None
        except OSError as cause:
            raise StorageError(f"{what} {failed}: {cause.strerror or cause}; free space or choose another folder.") from None
        except (BotoCoreError, ValueError) as cause:
            raise StorageError(f"{what} {failed}: {server} cannot be used: {' '.join(str(cause).split()).rstrip('.')}.") from None


def _reason(cause: ClientError | Boto3Error) -> str:
    if isinstance(cause, Boto3Error):
        inner = cause.__context__
        if isinstance(inner, ClientError):
            return _reason(inner)
        return _SILENT
    error = cause.response["Error"]
    return _CODES.get(error["Code"], f"answers {error['Code']}: {error.get('Message', 'no reason given').rstrip('.')}")


def _in_turn(progress: Progress | None) -> Progress | None:
    """`progress`, called by one thread at a time."""
    if progress is None:
        return None
    lock = threading.Lock()

    def step(moved: int) -> None:
        with lock:
            progress(moved)

    return step
