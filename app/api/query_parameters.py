"""The query parameters that a view accepts. Others are refused, because a misspelled filter would return all data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import request

from app.api.problems import Problem, placed
from app.schemas.lengths import IN_HEADERS, IN_PATH, IN_QUERY

View = TypeVar("View", bound=Callable[..., object])

_LONGEST_NAME = 40


def takes(*names: str) -> Callable[[View], View]:
    """Declare a view's query parameters. Put it below `needs`, which checks them after the API key."""

    def decorate(view: View) -> View:
        view.query_parameters = names  # type: ignore[attr-defined]
        return view

    return decorate


def parameters_of(view: Callable[..., object]) -> tuple[str, ...]:
    """Return the query parameters that a view accepts."""
    names: tuple[str, ...] = getattr(view, "query_parameters", ())
    return names


def check_query(view: Callable[..., object]) -> None:
    """Raise a 422 Problem for a parameter that the view doesn't accept, that is sent twice, or that is too long."""
    if not request.path.startswith("/v1/"):
        return
    known = parameters_of(view)
    wrong = {name: _unknown(known) for name in request.args if name not in known}
    wrong |= {
        name: "is given more than once. Send it once."
        for name in known
        if len(request.args.getlist(name)) > 1
    }
    errors: list[tuple[str, str]] = [
        (placed(name[:_LONGEST_NAME], parameter=name[:_LONGEST_NAME]), message)
        for name, message in wrong.items()
    ]
    errors += _too_long(known)
    if errors:
        raise Problem(422, "; ".join(f"{name}: {message}" for name, message in errors[:5]), errors[:50])


def _too_long(known: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return a fault for each parameter, part of the path and header that is longer than its limit."""
    sent = [
        (placed(name, parameter=name), str(value), IN_PATH.get(name))
        for name, value in (request.view_args or {}).items()
    ]
    sent += [
        (placed(name, parameter=name), request.args[name], IN_QUERY.get(name))
        for name in known
        if name in request.args
    ]
    sent += [
        (placed(name, header=name), request.headers.get(name, ""), most) for name, most in IN_HEADERS.items()
    ]
    return [
        (name, f"has {len(value)} characters, but at most {most} are allowed")
        for name, value, most in sent
        if most is not None and len(value) > most
    ]


def _unknown(known: tuple[str, ...]) -> str:
    return f"is not a parameter of this request. It takes {', '.join(known) if known else 'none'}."
