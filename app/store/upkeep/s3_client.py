"""Access to S3-compatible storage with boto3, which is an extra and only imported if a backup is on S3.

Credentials, region and endpoint are configured as for the AWS command line: with environment variables such as
AWS_ENDPOINT_URL, with files in ~/.aws, or by the machine's role.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.settings.s3_url import S3Url
from app.store.upkeep.backup_file import BackupError

_INSTALL = (
    "pip install boto3"  # not cams-relay[s3]: the name isn't ours at the registry yet (docs/install.md)
)
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_ATTEMPTS = 3
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}", re.ASCII)
_REFUSED = (
    *("403", "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    *("ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "Unauthorized", "401"),
)
_MISSING = ("404", "NoSuchKey")


def open_client() -> Any:
    """Return a client for S3. Raises BackupError, also if boto3 isn't installed."""
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise BackupError(
            f"backups on S3 require the extra s3, which installs boto3. Install it: {_INSTALL}"
        ) from None
    for name in ("boto3", "botocore", "s3transfer"):
        logging.getLogger(name).setLevel(
            logging.WARNING
        )  # their debug lines contain requests with signatures
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    with explained_errors("the storage"):
        try:
            return boto3.session.Session().client("s3", config=config)  # boto3 shares its default session
        except ValueError:  # its text quotes the URL
            raise BackupError(
                "AWS_ENDPOINT_URL is not a URL. Use, for example, https://s3.example.com"
            ) from None


@contextmanager
def explained_errors(place: S3Url | str) -> Iterator[None]:
    """Raise BackupError for boto3's errors. It has none of their texts, because these may quote URLs and keys."""
    from botocore import exceptions
    from s3transfer.exceptions import RetriesExceededError

    try:
        yield
    except exceptions.ClientError as error:
        raise BackupError(_answered(place, str(error.response.get("Error", {}).get("Code", "")))) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise BackupError(
            "no credentials for S3 were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except (exceptions.HTTPClientError, exceptions.ConnectionError, RetriesExceededError) as error:
        raise BackupError(
            f"the storage of {place} can't be reached ({type(error).__name__}). Check the network and "
            "AWS_ENDPOINT_URL"
        ) from None
    except exceptions.BotoCoreError as error:
        raise BackupError(
            f"{place} can't be used ({type(error).__name__}). Check the AWS_… settings"
        ) from None


def _answered(place: S3Url | str, code: str) -> str:
    shown = code if _CODE.fullmatch(code) else "an error"
    if code == "NoSuchBucket":
        return f"{place}: the bucket doesn't exist. Create it, or correct the URL"
    if code in _MISSING:
        return f"{place} doesn't exist"
    if code in _REFUSED:
        return (
            f"{place}: the storage refused access ({shown}). Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and what "
            "the key may do with the bucket"
        )
    return f"{place}: the storage answered {shown}"
