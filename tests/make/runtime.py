"""Runs communication blocks like Make: sends the HTTP requests, and handles the responses.

Source: Make's documentation of custom apps, "Communication" (requests, handling responses, pagination, multiple
requests), "Base", "Webhooks" and "Error handling". Unknown directives raise an error.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.make.app import App, Json, filled
from tests.make.iml import UNDEFINED, transform, truthy

MOST_SECONDS = 40  # for all requests of a module together
MOST_REQUESTS = 100
MOST_PAGES = 50

_REQUEST = {
    "url",
    "method",
    "headers",
    "qs",
    "body",
    "type",
    "temp",
    "response",
    "pagination",
    "repeat",
    "log",
}
_RESPONSE = {"type", "valid", "error", "temp", "iterate", "output", "limit", "data", "metadata"}


def https(url: str) -> str:
    """Returns the https URL at which Make reaches a server of the tests. The app accepts no other URLs."""
    return url.replace("http://", "https://")


class MakeError(Exception):
    """An error as the user sees it. `kind` is Make's error type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


@dataclass
class Make:
    """A scenario's run with one connection and its log."""

    app: App
    connection: Json = field(default_factory=dict)
    log: list[Json] = field(default_factory=list)
    hurry: float = 1.0
    """Delays of `repeat` are divided by it."""

    def connect(self, **values: Any) -> Json:
        """Makes the connection from its form's values, and returns the metadata that gives it a name."""
        (component,) = self.app.of("connection")
        context = {"parameters": filled(component.files["params"], values)}
        run = _Run(self, component.files["communication"], base={}, context=context)
        run.all()
        self.connection = run.response_data["data"]
        metadata: Json = run.response_data["metadata"]
        return metadata

    def run(self, name: str, /, **values: Any) -> list[Json]:
        """Runs an action, a search or the universal module, and returns its bundles."""
        component = self.app["module", name]
        forms = [*component.files["staticParams"], *component.files["mappableParams"]]
        return self.run_block(component.files["communication"], filled(forms, values))

    def rpc(self, name: str, **values: Any) -> list[Json]:
        component = self.app["rpc", name]
        return self.run_block(component.files["communication"], filled(component.files["params"], values))

    def attach(self, name: str, url: str, **values: Any) -> Hook:
        """Attaches a new webhook for a trigger."""
        component = self.app["webhook", name]
        hook = Hook(self, name, url, filled(component.files["params"], values))
        run = self._block(
            component.files["attach"], parameters=hook.parameters, webhook={"id": 1, "url": url}
        )
        run.all()
        hook.data = run.response_data["data"]
        return hook

    def run_block(self, block: Any, parameters: Json) -> list[Json]:
        return self._block(block, parameters=parameters).all()

    def _block(self, block: Any, **context: Any) -> _Run:
        return _Run(self, block, base=self.app.base, context={**context, "connection": self.connection})


@dataclass
class Hook:
    """An attached webhook. `data` was stored when it was attached."""

    make: Make
    name: str
    url: str
    parameters: Json
    data: Json = field(default_factory=dict)

    def update(self, **values: Any) -> None:
        """Updates the webhook after its form was changed."""
        component = self.make.app["webhook", self.name]
        self.parameters = filled(component.files["params"], values)
        self._call("update", parameters=self.parameters)

    def detach(self) -> None:
        self._call("detach")

    def _call(self, code: str, **context: Any) -> None:
        block = self.make.app["webhook", self.name].files[code]
        webhook = {"id": 1, "url": self.url, **self.data}
        self.make._block(block, webhook=webhook, **context).all()

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, list[Json]]:
        """Receives a delivery. Returns the status of Make's response and the trigger's bundles."""
        block = self.make.app["webhook", self.name].files["communication"]
        assert set(block) == {"verification", "iterate", "output"}
        context = {
            "parameters": self.parameters,
            "data": self.data,
            "body": json.loads(body),
            "headers": dict(headers),
            "method": "POST",
            "query": {},
        }
        if truthy(transform(block["verification"]["condition"], context)):
            return transform(block["verification"]["respond"], context)["status"], []
        items = transform(block["iterate"], context)
        assert isinstance(items, list), "iterate must name an array"
        module = self.make.app["module", self.name]
        assert module.meta["webhook"] == self.name
        assert module.files["communication"] == {}  # its bundles come from the webhook
        return 200, [transform(block["output"], {**context, "item": item}) for item in items]


class _Run:
    """A run of one communication block with one or more requests."""

    def __init__(self, make: Make, block: Any, base: Json, context: Json) -> None:
        self.make, self.base = make, base
        self.blocks: list[Json] = block if isinstance(block, list) else [block]
        self.context: Json = {**context, "temp": {}}
        self.response_data: Json = {}
        self.began = time.monotonic()
        self.requests = 0

    def all(self) -> list[Json]:
        """Sends all requests and returns the bundles of the last one."""
        bundles: list[Json] = []
        for block in self.blocks:
            assert set(block) <= _REQUEST, f"unsupported directives: {set(block) - _REQUEST}"
            assert set(block.get("response", {})) <= _RESPONSE
            bundles = self._repeated(block)
        return bundles

    def _repeated(self, block: Json) -> list[Json]:
        bundles = self._paged(block)
        if again := block.get("repeat"):
            for _ in range(again["limit"]):
                # The condition can only use `temp`.
                if not truthy(transform(again["condition"], {"temp": self.context["temp"]})):
                    break
                time.sleep(again["delay"] / 1000 / self.make.hurry)
                bundles = self._paged(block)
        return bundles

    def _paged(self, block: Json) -> list[Json]:
        limit = transform(block.get("response", {}).get("limit", UNDEFINED), self.context)
        pagination = block.get("pagination", {})
        bundles: list[Json] = []
        more: Json = {}
        for _ in range(MOST_PAGES):
            found = list(self._once(block, more))
            bundles += found
            if limit is not UNDEFINED and len(bundles) >= limit:
                return bundles[:limit]
            if not found or not truthy(transform(pagination.get("condition", False), self.context)):
                return bundles
            assert set(pagination) == {"qs", "condition"}
            more = transform(pagination["qs"], self.context)
        return bundles

    def _once(self, block: Json, more: Json) -> Iterator[Json]:
        self._merge_temp(block.get("temp", {}))
        answer = self._ask(block, more)
        response = block.get("response", {})
        self._read(answer, response.get("type", "automatic"))
        self._merge_temp(response.get("temp", {}))
        self._check(answer, response)
        for name in ("data", "metadata"):
            if name in response:
                self.response_data[name] = transform(response[name], self.context)
        if "iterate" not in response:
            yield transform(response.get("output", "{{body}}"), self.context)
            return
        items = transform(response["iterate"], self.context)
        assert isinstance(items, list), "iterate must name an array"
        for item in items:
            yield transform(response["output"], {**self.context, "item": item})

    def _merge_temp(self, block: Json) -> None:
        self.context["temp"] |= transform(block, self.context)

    def _ask(self, block: Json, more: Json) -> requests.Response:
        """Sends the request with the base's headers. The block's headers and the page's query win."""
        self.requests += 1
        assert self.requests <= MOST_REQUESTS
        url = transform(block["url"], self.context)
        if not url.startswith("http"):
            assert url.startswith("/"), "a URL relative to the base must begin with a slash"
            url = transform(self.base["baseUrl"], self.context) + url
        url = re.sub(r"(?<!:)//+", "/", url)  # as Make does
        method = transform(block.get("method", "GET"), self.context)
        headers = transform({**self.base.get("headers", {}), **block.get("headers", {})}, self.context)
        query = {**transform(block.get("qs", {}), self.context), **more}
        body = None if method == "GET" else transform(block.get("body", UNDEFINED), self.context)
        if body is UNDEFINED:
            body = None
        elif body is not None and block.get("type", "json") == "json":
            headers.setdefault("content-type", "application/json")
            body = json.dumps(body)
        left = MOST_SECONDS - (time.monotonic() - self.began)
        assert left > 0, f"Make stops a module after {MOST_SECONDS} s"
        answer = requests.request(
            method,
            url.replace("https://127.0.0.1", "http://127.0.0.1"),
            params=query,
            headers=headers,
            data=body,
            timeout=left,
            allow_redirects=False,
        )
        self._write_log(block, answer, headers, body)
        return answer

    def _read(self, answer: requests.Response, kind: Any) -> None:
        if isinstance(kind, dict):
            kind = kind.get(str(answer.status_code), kind.get("*", "automatic"))
        is_json = "json" in answer.headers.get("content-type", "")
        body: Any = answer.text
        if kind == "binary":
            body = answer.content
        elif answer.content and (is_json or kind == "json"):
            body = answer.json()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        self.context |= {"body": body, "headers": headers, "statusCode": answer.status_code}

    def _check(self, answer: requests.Response, response: Json) -> None:
        if answer.status_code >= 400:
            known = {**self.base.get("response", {}).get("error", {}), **response.get("error", {})}
            chosen = known.get(str(answer.status_code), known)
            raise MakeError(
                transform(chosen.get("type", "RuntimeError"), self.context),
                transform(chosen.get("message", ""), self.context),
            )
        valid = response.get("valid", {"condition": True})
        if not truthy(transform(valid["condition"], self.context)):
            raise MakeError(valid["type"], transform(valid["message"], self.context))

    def _write_log(self, block: Json, answer: requests.Response, headers: Json, body: Any) -> None:
        """Logs a request and its response as Make does, without the values listed in `log.sanitize`."""

        def parsed(content: Any) -> Any:
            try:
                return json.loads(content)
            except (TypeError, ValueError):
                return None

        entry = {
            "request": {"headers": dict(headers), "body": parsed(body)},
            "response": {"headers": dict(answer.headers), "body": parsed(answer.content)},
        }
        for path in block.get("log", self.base.get("log", {}))["sanitize"]:
            _hide(entry, path.split("."))
        self.make.log.append(entry)


def _hide(entry: Any, path: list[str]) -> None:
    if not isinstance(entry, dict):
        return
    for name in [name for name in entry if name.lower() == path[0].lower()]:
        if len(path) == 1:
            entry[name] = "…"
        else:
            _hide(entry[name], path[1:])
