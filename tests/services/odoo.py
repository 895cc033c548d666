"""Odoo: its external APIs over employees and their attendances: JSON-2 (`POST /json/2/MODEL/METHOD`, from Odoo 19)
and the older JSON-RPC (`POST /jsonrpc`).

https://www.odoo.com/documentation/19.0/developer/reference/external_api.html
https://www.odoo.com/documentation/19.0/developer/reference/external_rpc_api.html
"""

from __future__ import annotations

from typing import Any

from tests.services.web import Request, Service

API_KEY = "made-up-odoo-api-key"
DATABASE, USER_ID = "made-up-database", 2


def _refused(status: int, name: str, message: str) -> tuple[int, Any]:
    return status, {"name": name, "message": message, "arguments": [message], "context": {}, "debug": ""}


class Odoo(Service):
    """A database with employees by badge. `attendances` are stored as in Odoo, with times in UTC without an offset."""

    def __init__(self, employees: dict[str, str]) -> None:
        super().__init__()
        self.models: dict[str, list[dict[str, Any]]] = {
            "hr.employee": [
                {"id": number, "name": name, "barcode": badge}
                for number, (badge, name) in enumerate(employees.items(), start=1)
            ],
            "hr.attendance": [],
        }

    @property
    def attendances(self) -> list[tuple[str, str, str | None]]:
        """Return the name, check-in and check-out of each attendance."""
        names = {row["id"]: row["name"] for row in self.models["hr.employee"]}
        return [
            (names[row["employee_id"]], row["check_in"], row["check_out"] or None)
            for row in self.models["hr.attendance"]
        ]

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.path == "/jsonrpc":
            return self._rpc(request)
        if request.headers.get("authorization", "").lower() != f"bearer {API_KEY}":
            return _refused(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
        root, version, model, method = request.path.strip("/").split("/")
        assert (request.method, root, version) == ("POST", "json", "2"), request
        return self._call(model, method, request.json)

    def _rpc(self, request: Request) -> tuple[int, Any]:
        """Handle `execute_kw`, the only method used. Errors have the status 200, as in Odoo."""
        call = request.json
        assert (request.method, call["jsonrpc"], call["method"]) == ("POST", "2.0", "call"), call
        params = call["params"]
        assert (params["service"], params["method"]) == ("object", "execute_kw"), params
        database, user, key, model, method, positional, named = params["args"]
        if (database, user, key) != (DATABASE, USER_ID, API_KEY):
            status, answer = _refused(403, "odoo.exceptions.AccessDenied", "Access Denied")
        else:
            names = {"search_read": ["domain"], "create": ["vals_list"], "write": ["ids", "vals"]}[method]
            status, answer = self._call(model, method, {**dict(zip(names, positional, strict=True)), **named})
        if status == 200:
            return 200, {"jsonrpc": "2.0", "id": call["id"], "result": answer}
        error = {"code": 200, "message": "Odoo Server Error", "data": answer}
        return 200, {"jsonrpc": "2.0", "id": call["id"], "error": error}

    def _call(self, model: str, method: str, given: dict[str, Any]) -> tuple[int, Any]:
        rows = self.models[model]
        if method == "search_read":
            found = [row for row in rows if all(_fits(row, *term) for term in given["domain"])]
            fields = given.get("fields") or ["id", *rows[0]] if rows else []
            return 200, [{name: row[name] for name in {"id", *fields}} for row in found[: given.get("limit")]]
        if method == "create":
            made = [{"id": len(rows) + 1, "check_out": False, **values} for values in given["vals_list"]]
            refused = next(filter(None, map(self._invalid, made)), None)
            if refused:
                return _refused(422, "odoo.exceptions.ValidationError", refused)
            rows += made
            return 200, [row["id"] for row in made]
        if method == "write":
            changed = [row for row in rows if row["id"] in given["ids"]]
            refused = next(filter(None, (self._invalid({**row, **given["vals"]}) for row in changed)), None)
            if refused:
                return _refused(422, "odoo.exceptions.ValidationError", refused)
            for row in changed:
                row.update(given["vals"])
            return 200, True
        return _refused(404, "werkzeug.exceptions.NotFound", method)

    def _invalid(self, attendance: dict[str, Any]) -> str | None:
        """Return why hr.attendance would refuse it, like its `_check_validity`."""
        begins, ends = attendance["check_in"], attendance["check_out"]
        if ends and ends < begins:
            return '"Check Out" time cannot be earlier than "Check In" time.'
        others = [
            row
            for row in self.models["hr.attendance"]
            if row["employee_id"] == attendance["employee_id"] and row["id"] != attendance["id"]
        ]
        if not ends and any(not row["check_out"] for row in others):
            return "Cannot create new attendance record, the employee hasn't checked out since"
        if any(row["check_in"] <= begins < (row["check_out"] or begins) for row in others):
            return "Cannot create new attendance record, the employee was already checked in"
        return None


def _fits(row: dict[str, Any], field: str, operator: str, value: Any) -> bool:
    assert operator in ("=", "<=", ">="), operator
    found = row[field]
    if operator == "=":
        return bool(found == value)
    return bool(found and (found <= value if operator == "<=" else found >= value))
