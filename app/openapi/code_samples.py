"""Code samples for each operation in curl, Python and JavaScript (`x-codeSamples`), made from its examples.

They read the relay's URL and the API key from the environment variables RELAY_URL and RELAY_API_KEY.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from app.openapi.vocabulary import PUBLIC, Endpoint, Json

_STREAM = "text/event-stream"
# Parameters that aren't marked as required, because another one can replace them
_NEEDED: Mapping[str, Mapping[str, str]] = {
    name: {"date": "2026-11-24"} for name in ("exportAttendance", "exportAttendanceWorkbook")
}
_TEXTS = ("text/csv", "text/html", "text/plain", "application/yaml")


def code_samples(endpoint: Endpoint, parameters: Mapping[str, Json]) -> list[Json]:
    """Return the samples of an operation. `parameters` are the shared parameters by name."""
    call = _Call(endpoint, parameters)
    return [
        {"lang": "Shell", "label": "curl", "source": call.curl()},
        {"lang": "Python", "label": "Python", "source": call.python()},
        {"lang": "JavaScript", "label": "JavaScript", "source": call.javascript()},
    ]


class _Call:
    """A call of an operation with the examples of its required parameters, and its first body."""

    def __init__(self, endpoint: Endpoint, parameters: Mapping[str, Json]) -> None:
        described = [parameters[item] if isinstance(item, str) else item for item in endpoint.parameters]
        examples = {(item["in"], item["name"]): item["example"] for item in described if item.get("required")}
        path = re.sub(
            r"\{(\w+)\}", lambda match: quote(str(examples["path", match[1]]), safe=""), endpoint.path
        )
        query = {name: value for (place, name), value in examples.items() if place == "query"}
        if endpoint.operation_id in _NEEDED:
            query |= _NEEDED[endpoint.operation_id]
        self.path = f"{path}?{urlencode(query)}" if query else path
        self.method = endpoint.method.upper()
        self.body: Any = next(iter(endpoint.examples.values()), None)
        is_callback = endpoint.path.startswith("/callback")
        self.has_key = endpoint.scopes != PUBLIC or (401 in endpoint.problems and not is_callback)
        _, answer = next(iter(sorted(endpoint.answers.items())))
        self.media = answer.media if answer.schema is not None else ""

    def curl(self) -> str:
        options = "-N " if self.media == _STREAM else ""
        if self.method != "GET":
            options += f"-X {self.method} "
        lines = [f'curl --fail-with-body -sS {options}"$RELAY_URL{self.path}"']
        if self.has_key:
            lines.append('-H "Authorization: Bearer $RELAY_API_KEY"')
        if self.body is not None:
            lines.append("-H 'Content-Type: application/json'")
            lines.append(f"-d {shlex.quote(json.dumps(self.body, ensure_ascii=False))}")
        if self._is_file:
            lines.append(f"-o {self._file}")
        return " \\\n  ".join(lines)

    def python(self) -> str:
        options = [f'    os.environ["RELAY_URL"] + {json.dumps(self.path)},']
        if self.has_key:
            options.append('    headers={"Authorization": "Bearer " + os.environ["RELAY_API_KEY"]},')
        if self.body is not None:
            options.append(f"    json={_as_python(self.body, 4)},")
        is_stream = self.media == _STREAM
        options.append("    stream=True,\n    timeout=(30, None)," if is_stream else "    timeout=130,")
        return "\n".join(
            [
                "import os",
                "",
                "import requests",
                "",
                f"response = requests.{self.method.lower()}(",
                *options,
                ")",
                "response.raise_for_status()",
                *self._read_by_python(),
            ]
        )

    def _read_by_python(self) -> list[str]:
        if self.media == _STREAM:
            return ["for line in response.iter_lines(decode_unicode=True):", "    print(line)"]
        if self._is_file:
            return [f'with open("{self._file}", "wb") as file:', "    file.write(response.content)"]
        if not self.media:
            return ["print(response.status_code)"]
        return ["print(response.text)" if self.media in _TEXTS else "print(response.json())"]

    def javascript(self) -> str:
        options = [f'  method: "{self.method}",'] if self.method != "GET" else []
        headers = ["Authorization: `Bearer ${process.env.RELAY_API_KEY}`"] if self.has_key else []
        if self.body is not None:
            headers.append('"Content-Type": "application/json"')
        if headers:
            options.append(f"  headers: {{ {', '.join(headers)} }},")
        if self.body is not None:
            body = json.dumps(self.body, ensure_ascii=False, indent=2).replace("\n", "\n  ")
            options.append(f"  body: JSON.stringify({body}),")
        address = f"`${{process.env.RELAY_URL}}{self.path}`"
        call = [f"const response = await fetch({address}, {{", *options, "});"]
        if not options:
            call = [f"const response = await fetch({address});"]
        return "\n".join(
            [*call, "if (!response.ok) throw new Error(await response.text());", *self._read_by_js()]
        )

    def _read_by_js(self) -> list[str]:
        if self.media == _STREAM:
            return [
                "for await (const chunk of response.body) {",
                "  process.stdout.write(chunk);",
                "}",
            ]
        if self._is_file:
            return [
                'const { writeFile } = await import("node:fs/promises");',
                f'await writeFile("{self._file}", Buffer.from(await response.arrayBuffer()));',
            ]
        if not self.media:
            return ["console.log(response.status);"]
        return [f"console.log(await response.{'text' if self.media in _TEXTS else 'json'}());"]

    @property
    def _is_file(self) -> bool:
        return bool(self.media) and self.media not in (*_TEXTS, _STREAM) and "json" not in self.media

    @property
    def _file(self) -> str:
        return "attendance.xlsx" if "sheet" in self.media else "file"


def _as_python(value: Any, indent: int) -> str:
    """Return a JSON value as Python writes it, with a field per line."""
    blank = " " * (indent + 4)
    if isinstance(value, dict) and value:
        inside = [f"{json.dumps(name)}: {_as_python(part, indent + 4)}" for name, part in value.items()]
    elif isinstance(value, list) and value:
        inside = [_as_python(part, indent + 4) for part in value]
    elif isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    else:
        return repr(value)
    start, end = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([start, *(f"{blank}{part}," for part in inside), " " * indent + end])
