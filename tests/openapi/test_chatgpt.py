"""The statements in docs/integrations/chatgpt.md about the imported description are true."""

from __future__ import annotations

from app.openapi.action_endpoints import MOST_OPERATIONS
from app.settings.table import load
from tests.harness import ROOT
from tests.openapi.reading import Json, operations

PAGE = (ROOT / "docs" / "integrations" / "chatgpt.md").read_text()


def test_the_operations_named_in_the_page_are_in_the_description(actions: Json) -> None:
    found = {operation["operationId"] for _, _, operation in operations(actions)}
    assert len(found) == MOST_OPERATIONS and "at most 30 operations" in PAGE
    assert {"listDevices", "getCommand"} <= found
    scheme = actions["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer") and "Auth Type → Bearer" in PAGE


def test_a_gpt_needs_one_server_and_no_header(actions: Json) -> None:
    assert len(actions["servers"]) == 1
    for path, _, operation in operations(actions):
        for parameter in operation.get("parameters", ()):
            name = parameter.get("$ref", "").rpartition("/")[2]
            parameter = actions["components"]["parameters"][name] if name else parameter
            assert parameter["in"] != "header" or not parameter["required"], path


def test_an_action_responds_before_a_gpt_times_out() -> None:
    """GPT actions time out after 45 s, which must be enough for the relay's wait and its own work."""
    assert load({}).command_wait <= 30
