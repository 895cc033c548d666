"""docs/develop/add-an-operation.md: adds the next operation, a command that changes a user's name."""

from __future__ import annotations

import json

from app.gateway.operations import OPERATIONS
from tests.walks.copied_tree import CopiedTree

PAGE = "docs/develop/add-an-operation.md"
NUMBER = len(OPERATIONS) + 1
SAMPLE = f"{NUMBER:02}-RenameUser"
# Tests that need no processes.
DESCRIBED = (
    "tests/gateway/test_gateway_operations.py",
    "tests/gateway/test_gateway_commands.py",
    "tests/gateway/test_gateway_answers.py",
    "tests/openapi/test_limits_of_importers.py",
    "tests/openapi/test_chatgpt.py",
    "tests/openapi/test_description_is_the_program.py",
    "tests/make/test_app_is_the_program.py",
    "tests/docs/test_docs_are_up_to_date.py",
)
SIMULATED = ("tests/simulator/test_commands_are_as_documented.py",)
# Tests that run a relay, for the new operation or for all operations.
CARRIED_OUT = ("tests/actions/test_every_action.py", "tests/mcp/test_every_tool.py")
ABOUT_IT = "RenameUser or rename-user or every_action_is_tested or (every_tool and http) or annotations"


def register(tree: CopiedTree) -> None:
    """Add the operation and its body to the registry."""
    tree.insert(
        "app/gateway/operations.py",
        f"""    _command(
        {NUMBER},
        "RenameUser",
        "rename-user",
        "write",
        {{"Update": {{"UserName": command_bodies.RENAMED_USER}}}},
        description="Changes the name of a user on the device. Their templates are kept.",
    ),
""",
        before=")\n\nCALLBACKS = tuple(",
    )
    tree.insert(
        "app/gateway/command_bodies.py",
        'RENAMED_USER: Body = {"UserID": _USER_ID, **_NAMES}\n',
        before="ACCESS_TIME: Body = ",
    )


def add_sample(tree: CopiedTree) -> None:
    """Add the documented request and its response."""
    envelope = {
        "OperationID": "1jxpjeoasu8wl",
        "AuthToken": "COJJ7eiiPBGUfmIQPvh2PJWWDLX7OuKs",
        "Time": "2020-09-17 11:09:09 GMT +0530",
    }
    renamed = {"UserID": "1", "FirstName": "Manu", "LastName": "Mona"}
    answer = {"Status": "done", "OperationID": envelope["OperationID"], "StatusCode": 0}
    request = {"Update": {"UserName": renamed}, **envelope}
    tree.create(f"tests/samples/{SAMPLE}.request.json", json.dumps(request, indent=2))
    tree.create(f"tests/samples/{SAMPLE}.response.json", json.dumps(answer, indent=2))


def simulate(tree: CopiedTree) -> None:
    """Let the simulated device carry out the command."""
    tree.insert(
        "simulator/operations.py",
        """def _rename(content: Fields, rules: Rules) -> Fields:
    user = _object(content["UserName"], {"UserID", "FirstName", "LastName"})
    return {
        "operation": "RenameUser",
        "user_id": _text(user["UserID"], "UserID"),
        "first_name": _text(user["FirstName"], "FirstName", empty=True),
        "last_name": _text(user["LastName"], "LastName", empty=True),
    }


""",
        before="def _alone(",
    )
    tree.insert(
        "simulator/operations.py",
        '    ("Update", "UserName"): _alone("UserName", _rename),\n',
        after='    ("Update", "User"): _alone("User", _access),\n',
    )
    tree.insert(
        "simulator/execute.py",
        """def _rename(device: Device, command: Command) -> Result:
    user = device.find_user(command.user_id)
    user.first_name, user.last_name = command.first_name, command.last_name
    return {}


""",
        before="_ACTIONS: dict[",
    )
    tree.insert(
        "simulator/execute.py", '    "RenameUser": _rename,\n', after='    "DisableUser": _set_enabled,\n'
    )


def test_its_effect(tree: CopiedTree) -> None:
    """Add an entry to the test that runs every action, and one to the test that runs every tool."""
    tree.insert(
        "tests/actions/test_every_action.py",
        """    "rename-user": (
        {"user_id": "1", "first_name": "Manu"},
        lambda one, _: one.device.users["1"].first_name == "Manu",
    ),
""",
        after='    "disable-user": ({"user_id": "2"}, lambda one, _: not one.device.users["2"].enabled),\n',
    )
    tree.insert(
        "tests/mcp/test_every_tool.py",
        '        ("rename_user", {**person, "first_name": "Manu"}, "RenameUser"),\n',
        after='        ("enable_user", person, "EnableUser"),\n',
    )
