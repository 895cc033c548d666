"""URLs of places on S3-compatible storage, such as s3://my-bucket/cams-relay."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.settings.readers import HiddenValueError

SCHEME = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", re.ASCII)
_LONGEST_PATH = 800  # bytes, so that a backup's name also fits into a key


@dataclass(frozen=True, slots=True)
class S3Url:
    """A bucket, and the path of an object or a folder in it, without slashes at its ends. It may be empty."""

    bucket: str
    path: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def below(self, name: str) -> S3Url:
        """Return the URL of an object in this folder."""
        return S3Url(self.bucket, f"{self.path}/{name}" if self.path else name)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.path}" if self.path else f"{SCHEME}{self.bucket}"


def s3_url(text: str) -> S3Url:
    """Read an S3 URL. Raises HiddenValueError, because the text might contain an access key."""
    bucket, _, path = text.removeprefix(SCHEME).partition("/")
    if "@" in bucket or ":" in bucket:
        raise HiddenValueError(
            "must not contain an access key or a host. Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            "AWS_ENDPOINT_URL instead"
        )
    path = path.strip("/")
    if (
        not text.startswith(SCHEME)
        or not _BUCKET.fullmatch(bucket)
        or not path.isprintable()
        or any(part in ("", ".", "..") for part in path.split("/") if path)
        or len(path.encode()) > _LONGEST_PATH
    ):
        raise HiddenValueError("is not an S3 URL, e.g. s3://my-bucket/cams-relay")
    return S3Url(bucket, path)
