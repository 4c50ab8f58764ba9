"""The only module that imports boto3: a client, the configuration of transfers, and its errors as StorageError."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import boto3
import botocore.loaders
import botocore.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as BotoConnectionError

from musicrec.errors import StorageError
from musicrec.settings.addresses import is_loopback

# Without checksums of responses: with them botocore cannot parse a server's error 500, and the manifest of a run has stronger ones.
_CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 4},
                 response_checksum_validation="when_required")
# For what answers at once: a server that accepts connections and says nothing is given up after a quarter of a minute.
_QUICK = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
_CODES = {
    "InvalidAccessKeyId": "does not know the key in AWS_ACCESS_KEY_ID; check it in .env",
    "ExpiredToken": "says that AWS_SESSION_TOKEN has expired; get new keys",
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
# The descriptions of the service take most of the time of making a client, so all clients of a process share them.
_loader = lru_cache(botocore.loaders.create_loader)


def client(endpoint: str | None, environment: Mapping[str, str], quick: bool = False) -> Any:
    """A client of the server at `endpoint` (None: Amazon S3), set up by the AWS_... variables of `environment`, such as keys, session
    token, region, profile or certificates. A server on this machine is never asked through a proxy. `quick`: for small objects.
    """
    core = botocore.session.Session()
    for name, (_, variables, _, convert) in core.session_var_map.items():
        variables = variables if isinstance(variables, list) else [variables]
        if given := [environment[variable] for variable in variables if variable in environment]:
            core.set_config_variable(name, convert(given[0]) if convert else given[0])
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    session = boto3.Session(botocore_session=core, region_name=environment.get("AWS_REGION"))
    config = _CONFIG.merge(_QUICK) if quick else _CONFIG
    if endpoint:
        # Path-style addresses, because most other servers do not support bucket.host.
        config = config.merge(Config(s3={"addressing_style": "path"}, proxies={} if is_loopback(endpoint) else None))
    keys = {name: environment.get(name.upper()) for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")}
    return session.client("s3", endpoint_url=endpoint, config=config, region_name=session.region_name or (endpoint and "us-east-1"), **keys)


def transfer(part_bytes: int) -> TransferConfig:
    """The configuration of transfers: files above part_bytes in parts of that size, four at a time."""
    return TransferConfig(multipart_threshold=part_bytes, multipart_chunksize=part_bytes, max_concurrency=4)


def exists(s3: Any, bucket: str, key: str) -> bool:
    """Whether the object exists, by one request of the client `s3`."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as cause:
        if cause.response["Error"]["Code"] in _MISSING:
            return False
        raise
    return True


@contextmanager
def storage_errors(failed: str, server: str) -> Iterator[None]:
    """Convert errors of boto3 and of the system to StorageError: what failed, the server, the reason and what to do."""
    try:
        yield
    except NoCredentialsError:
        raise StorageError(f"{failed}: no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in .env.") from None
    except (ClientError, Boto3Error) as cause:
        raise StorageError(f"{failed}: {server} {_reason(cause)}.") from None
    except (BotoConnectionError, HTTPClientError):
        raise StorageError(f"{failed}: {server} {_SILENT}.") from None
    except OSError as cause:
        raise StorageError(f"{failed}: {cause.strerror or cause}; free space or choose another folder.") from None
    except RecursionError:  # botocore follows a redirect without a region endlessly
        raise StorageError(f"{failed}: {server} redirects without end; check S3_ENDPOINT_URL and the region of the bucket.") from None
    except (BotoCoreError, ValueError) as cause:
        raise StorageError(f"{failed}: {server} cannot be used: {' '.join(str(cause).split()).rstrip('.')}.") from None


def _reason(cause: ClientError | Boto3Error) -> str:
    if isinstance(cause, Boto3Error):
        inner = cause.__context__
        if isinstance(inner, ClientError):
            return _reason(inner)
        return _SILENT
    error = cause.response["Error"]
    return _CODES.get(error["Code"], f"answers {error['Code']}: {error.get('Message', 'no reason given').rstrip('.')}")
