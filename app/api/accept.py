"""The header `Accept`. A request is refused with 406 only if the caller can read none of what the API could answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from flask import request

from app.api.problems import Problem
from app.base.problem_document import CONTENT_TYPE as PROBLEM

View = TypeVar("View", bound=Callable[..., object])

JSON = "application/json"
_REFUSED = re.compile(r"q\s*=\s*(0(\.0*)?|\.0+)", re.IGNORECASE)


def represented_as(media: str) -> Callable[[View], View]:
    """Declare the media type of a view that doesn't answer JSON. Put it below `needs`."""

    def decorate(view: View) -> View:
        view.media = media  # type: ignore[attr-defined]
        return view

    return decorate


def media_of(view: Callable[..., object]) -> str:
    """Return the media type that a view answers with."""
    media: str = getattr(view, "media", JSON)
    return media


def check_accept(view: Callable[..., object]) -> None:
    """Raise a 406 Problem if `Accept` names no media type that the view could answer with.

    Every view may answer with a problem, so JSON is always enough. A DELETE has no body to be read.
    """
    if not request.path.startswith("/v1/") or request.method == "DELETE":
        return
    accepted = ",".join(request.headers.getlist("Accept"))
    if not accepted.strip(" ,"):
        return
    media = media_of(view)
    if not any(_matches(part, media) for part in accepted.split(",")):
        raise Problem(
            406,
            f"This is only available as {media}. Send `Accept: {media}`, or leave the header out.",
            [("Accept", f"doesn't include {media}")],
        )


def _matches(part: str, media: str) -> bool:
    """Return whether a part of `Accept` allows a media type, JSON or a problem. What isn't valid allows all."""
    name, *parameters = (text.strip().lower() for text in part.split(";"))
    if not name or any(_REFUSED.fullmatch(parameter) for parameter in parameters):
        return False
    kind, slash, subtype = name.partition("/")
    if not slash or kind == "*" or subtype in ("json", "problem+json") or subtype.endswith("+json"):
        return True
    return name in (media, PROBLEM) or (subtype == "*" and kind in (media.partition("/")[0], "application"))
