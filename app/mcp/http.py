"""The MCP server over streamable HTTP, at `/mcp`. Each client uses its own API key of the relay.

Failure policy: 401 without a key or with an unknown key, 429 after too many unknown keys, 503 if the relay can't be
reached. Each request checks the key with the relay, so that a deleted key stops working at once. A session belongs to
the key that opened it.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import AsyncIterator, Sequence

import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.mcp.api_client import Relay, RelayError
from app.mcp.key_attempts import WINDOW_SECONDS, KeyAttempts
from app.mcp.server import Context, build

PATH = "/mcp"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_REFUSALS = {
    401: ("invalid_token", {"WWW-Authenticate": 'Bearer realm="cams-relay"'}),
    429: ("too_many_requests", {"Retry-After": str(WINDOW_SECONDS)}),
    503: ("temporarily_unavailable", {"Retry-After": "1"}),
}


def is_loopback(host: str) -> bool:
    """Return whether an address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def application(url: str, hosts: Sequence[str] = (), *, cards_and_pins: bool = False) -> Starlette:
    """Return the ASGI application for the relay at `url`.

    `hosts` are host names that clients may use, in addition to those of this machine. A request with another Host or
    Origin is refused, so that a web page can't reach the server through a browser on this machine (DNS rebinding).
    """
    security = TransportSecuritySettings(
        allowed_hosts=[*(f"{host}:*" for host in _LOOPBACK), *hosts, *(f"{host}:*" for host in hosts)],
        allowed_origins=[
            *(f"http://{host}:*" for host in _LOOPBACK),
            *(f"https://{host}" for host in hosts),
            *(f"https://{host}:*" for host in hosts),
        ],
    )
    manager = StreamableHTTPSessionManager(
        build(lambda context: _relay_of(context, url), cards_and_pins=cards_and_pins),
        security_settings=security,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    endpoint = KeyCheck(StreamableHTTPASGIApp(manager), url, TransportSecurityMiddleware(security))
    return Starlette(routes=[Route(PATH, endpoint=endpoint)], lifespan=lifespan)


class KeyCheck:
    """Middleware that only accepts requests with an allowed Host and a valid API key of the relay."""

    def __init__(self, app: ASGIApp, url: str, names: TransportSecurityMiddleware) -> None:
        self._app, self._url, self._names = app, url, names
        self._attempts = KeyAttempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        refused = await self._names.validate_request(request) or await self._check(request)
        await (refused or self._app)(scope, receive, send)

    async def _check(self, request: Request) -> Response | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return _refusal(
                401, "An API key of the relay is required. Send it as `Authorization: Bearer KEY`."
            )
        key = key.strip()
        if not self._attempts.may_be_tried(key):
            return _refusal(
                429,
                "Too many unknown API keys were tried. Try again in a minute. Keys that have worked before still work.",
            )
        try:
            me = await Relay(self._url, key).get("/v1/me")
        except RelayError as error:
            if error.status == 401:
                self._attempts.failed(key)
            return _refusal(401 if error.status == 401 else 503, str(error))
        self._attempts.worked(key)
        token = AccessToken(token=key, client_id=me["id"], scopes=me["scopes"])
        request.scope["user"] = AuthenticatedUser(token)
        return None


def _refusal(status: int, sentence: str) -> Response:
    error, headers = _REFUSALS[status]
    return JSONResponse({"error": error, "error_description": sentence}, status, headers)


def _relay_of(context: Context, url: str) -> Relay:
    assert context.request is not None
    user = context.request.scope["user"]
    assert isinstance(user, AuthenticatedUser)
    return Relay(url, user.access_token.token)


def serve(url: str, host: str, port: int, hosts: Sequence[str], *, cards_and_pins: bool = False) -> None:
    """Serve until a signal arrives."""
    app = application(url, hosts, cards_and_pins=cards_and_pins)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
