"""Scripts, styles and pictures. Their URLs change with their content, so that browsers can cache them."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from urllib.parse import quote

from flask import Blueprint, Response, request

from app.api.auth import PUBLIC, needs
from app.api.problems import Problem

blueprint = Blueprint("files", __name__)

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@functools.cache
def _all() -> dict[str, bytes]:
    """Return the files, by their path in the folder."""
    return {
        path.relative_to(_FOLDER).as_posix(): path.read_bytes()
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }


@functools.cache
def _version() -> str:
    """Return a digest of all files, because scripts import each other by plain names."""
    digest = hashlib.sha256()
    for name, data in _all().items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:16]


def root_path() -> str:
    """Return the prefix of paths in links: the path of RELAY_PUBLIC_URL, which is usually empty."""
    return quote(request.script_root)


def url(name: str) -> str:
    """Return the URL of a file."""
    assert name in _all(), name
    return f"{root_path()}/console/static/{_version()}/{name}"


@blueprint.get("/console/static/<version>/<path:name>")
@needs(PUBLIC)
def static(version: str, name: str) -> Response:
    """Serve a file of the console's pages."""
    data = _all().get(name)
    if data is None:
        raise Problem(404, "The console has no such file.")
    response = Response(data, content_type=_TYPES[Path(name).suffix])
    kept = "public, max-age=31536000, immutable" if version == _version() else "no-store"
    response.headers["Cache-Control"] = kept
    return response
