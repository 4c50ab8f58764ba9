"""Storage in an S3 bucket, with multipart transfers, retries and checksums."""

import threading
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from musicrec.errors import StorageError
from musicrec.files import make_folder
from musicrec.storage.protocol import SMALL_BYTES, Progress, small

PART_BYTES = 16 << 20


@dataclass(frozen=True)
class S3Storage:
    """Keys are objects below `prefix` (empty, or ending with a slash) of `bucket`.

    Files above PART_BYTES are transferred in parts of that size, four at a time. A request is tried four times with growing pauses.
    An object appears when all of its parts are complete.
    """

    bucket: str
    prefix: str
    endpoint: str | None
    aws: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def location(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @classmethod
    def at(cls, location: str, environment: Mapping[str, str]) -> Self:
        """The storage at s3://bucket/prefix; where the location has no bucket (s3:///prefix), it is S3_BUCKET_NAME.

        S3_ENDPOINT_URL: the server, Amazon S3 without it. AWS_... variables mean what they mean to boto3; without AWS_ACCESS_KEY_ID and
        AWS_SECRET_ACCESS_KEY it uses its other sources of credentials. Raises StorageError when there is no bucket, or when location or
        server contain a user or password, which messages would show.
        """
        endpoint = next(filter(None, map(environment.get, ("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))), None)
        if "@" in (endpoint or ""):
            raise StorageError("S3_ENDPOINT_URL contains a user or a password; keys belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        bucket = bucket or environment.get("S3_BUCKET_NAME", "")
        if "@" in bucket:
            raise StorageError("[artifacts] location contains a user or a password; keys belong in AWS_ACCESS_KEY_ID and "
                               "AWS_SECRET_ACCESS_KEY.")
        if not bucket:
            raise StorageError(f"location {location!r} names no bucket; write s3://bucket/prefix or set S3_BUCKET_NAME in .env.")
        prefix = prefix.strip("/")
        return cls(bucket, f"{prefix}/" if prefix else "", endpoint,
                   {name: value for name, value in environment.items() if name.startswith("AWS_")})

    def preflight(self) -> None:
        """Read the bucket, write a test object and remove it."""
        with self._errors("is not reachable", ""):
            self._client.head_bucket(Bucket=self.bucket)
        probe = f"preflight-{uuid.uuid4().hex}.txt"
        self.write(probe, b"test")
        self.delete(probe)

    def upload(self, local: Path, key: str, progress: Progress | None = None) -> None:
        """Upload `local`, in parts when it is large, with a checksum of every part where the server supports it."""
        with self._errors(f"cannot be written from {local}", key):
            self._client.upload_file(str(local), self.bucket, self.prefix + key, **self._transfer(progress))

    def download(self, key: str, local: Path, progress: Progress | None = None) -> None:
        """Download `key`, in parts when it is large; the file appears when it is complete."""
        partial = local.with_name(f"{local.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with self._errors(f"cannot be fetched to {local}", key):
                make_folder(local.parent)
                self._client.download_file(self.bucket, self.prefix + key, str(partial), **self._transfer(progress))
                partial.replace(local)
        finally:
            partial.unlink(missing_ok=True)

    def read(self, key: str) -> bytes:
        """The bytes of `key`."""
        with self._errors("cannot be read", key), self._quick_client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"] as body:
            content: bytes = body.read(SMALL_BYTES + 1)
        return small(content, f"s3://{self.bucket}/{self.prefix}{key}")

    def write(self, key: str, content: bytes) -> None:
        """Put `content` as one object."""
        with self._errors("cannot be written", key):
            self._client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content)

    def exists(self, key: str) -> bool:
        """Whether the object exists. One request."""
        with self._errors("cannot be looked up", key):
            return bool(self._boto.exists(self._quick_client, self.bucket, self.prefix + key))

    def list(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, ascending. One request per thousand keys."""
        with self._errors("cannot be listed", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            return sorted(entry["Key"].removeprefix(self.prefix) for page in pages for entry in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        """Remove the object."""
        with self._errors("cannot be removed", key):
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def file(self, key: str) -> Path | None:
        """None: objects are not local files."""
        return None

    @cached_property
    def _boto(self) -> Any:
        # Imported here because boto3 takes 0.4 s to load, which users of a folder need not wait for.
        from musicrec.storage import s3_client

        return s3_client

    @cached_property
    def _client(self) -> Any:
        return self._boto.client(self.endpoint, self.aws)

    @cached_property
    def _quick_client(self) -> Any:
        return self._boto.client(self.endpoint, self.aws, quick=True)

    def _transfer(self, progress: Progress | None) -> dict[str, Any]:
        return {"Config": self._boto.transfer(PART_BYTES), "Callback": _in_turn(progress)}

    def _errors(self, failed: str, key: str) -> AbstractContextManager[None]:
        what = f"s3://{self.bucket}/{self.prefix}{key}".rstrip("/")
        context: AbstractContextManager[None] = self._boto.storage_errors(f"{what} {failed}", self.endpoint or "Amazon S3")
        return context


def _in_turn(progress: Progress | None) -> Progress | None:
    """`progress`, called by one thread at a time."""
    if progress is None:
        return None
    lock = threading.Lock()

    def step(n_bytes: int) -> None:
        with lock:
            progress(n_bytes)

    return step
