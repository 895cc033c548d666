"""Within a major version, no client of the released API breaks (docs/versioning.md)."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from app import __version__
from tests.openapi.breaking import breaking_changes
from tests.openapi.reading import Json

ROOT = Path(__file__).parents[2]


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True).stdout


def released() -> Json:
    """The description in the last release of this major version. Skips the test if there is none."""
    major = __version__.partition(".")[0]
    if major == "0":
        pytest.skip("Until 1.0.0, the API may change.")
    if not (ROOT / ".git").exists():
        pytest.skip("This is not a clone, so the last release is unknown.")
    releases = git("tag", "--list", f"v{major}.*", "--merged", "HEAD", "--sort=-v:refname").split()
    if not releases:
        pytest.skip(f"There is no release of version {major} before this one.")
    found: Json = yaml.safe_load(git("show", f"{releases[0]}:openapi.yaml"))
    return found


@pytest.fixture(scope="session")
def oasdiff() -> Path:
    """The program oasdiff, which Go installs."""
    if shutil.which("go") is None:
        pytest.skip("oasdiff is installed with Go, which isn't here.")
    made = subprocess.run([ROOT / "scripts" / "install-oasdiff"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return ROOT / ".venv" / "bin" / "oasdiff"


def breaking_by_oasdiff(program: Path, folder: Path, former: Json, present: Json) -> str:
    """Return what oasdiff reports as an error."""
    paths = [folder / "former.yaml", folder / "present.yaml"]
    for path, document in zip(paths, (former, present), strict=True):
        path.write_text(yaml.safe_dump(document))
    ran = subprocess.run(
        [program, "breaking", "--fail-on", "ERR", "--format", "singleline", *paths],
        capture_output=True,
        text=True,
    )
    assert ran.returncode in (0, 1), ran.stderr
    return ran.stdout if ran.returncode else ""


def test_nothing_breaks_since_the_last_release(full_document: Json) -> None:
    assert breaking_changes(released(), full_document) == []


@pytest.mark.timeout(300)  # the first run installs
def test_oasdiff_finds_no_break_since_the_last_release(
    full_document: Json, oasdiff: Path, tmp_path: Path
) -> None:
    assert breaking_by_oasdiff(oasdiff, tmp_path, released(), full_document) == ""


@pytest.mark.timeout(300)
def test_oasdiff_reports_breaks_only(full_document: Json, oasdiff: Path, tmp_path: Path) -> None:
    assert breaking_by_oasdiff(oasdiff, tmp_path, full_document, full_document) == ""
    for change, report in ((remove_operation, "api-removed"), (shorten, "max-length-decreased")):
        changed = copy.deepcopy(full_document)
        change(changed)
        assert report in breaking_by_oasdiff(oasdiff, tmp_path, full_document, changed)
    added = copy.deepcopy(full_document)
    add_optional_parts(added)
    assert breaking_by_oasdiff(oasdiff, tmp_path, full_document, added) == ""


def test_a_document_is_compatible_with_itself(full_document: Json) -> None:
    assert breaking_changes(full_document, full_document) == []


def patch_of(document: Json) -> Json:
    return document["paths"]["/v1/devices/{device_id}"]["patch"]


def remove_operation(document: Json) -> None:
    del document["paths"]["/v1/devices"]["post"]


def rename_operation(document: Json) -> None:
    patch_of(document)["operationId"] = "changeDevice"


def remove_answered_field(document: Json) -> None:
    del document["components"]["schemas"]["Device"]["properties"]["label"]


def remove_sent_field(document: Json) -> None:
    del document["components"]["schemas"]["DeviceChange"]["properties"]["label"]


def require_sent_field(document: Json) -> None:
    document["components"]["schemas"]["DeviceChange"]["required"] = ["label"]


def leave_field_out(document: Json) -> None:
    document["components"]["schemas"]["Device"]["required"].remove("mode")


def answer_null(document: Json) -> None:
    document["components"]["schemas"]["Device"]["properties"]["device_id"]["type"] = ["string", "null"]


def shorten(document: Json) -> None:
    document["components"]["schemas"]["DeviceChange"]["properties"]["label"]["maxLength"] = 3


def remove_parameter(document: Json) -> None:
    type_of_event, device_id, _, *others = document["paths"]["/v1/events"]["get"]["parameters"]
    document["paths"]["/v1/events"]["get"]["parameters"] = [type_of_event, device_id, *others]


def require_parameter(document: Json) -> None:
    parameters = document["paths"]["/v1/events"]["get"]["parameters"]
    parameters.append({"name": "site", "in": "query", "required": True, "schema": {"type": "string"}})


def remove_value(document: Json) -> None:
    parameters = document["paths"]["/v1/commands"]["get"]["parameters"]
    (status,) = [parameter for parameter in parameters if parameter.get("name") == "status"]
    status["schema"]["enum"].remove("waiting")


def change_scope(document: Json) -> None:
    operation = patch_of(document)
    operation["description"] = operation["description"].replace("Scope: devices:write", "Scope: admin")


def remove_answer(document: Json) -> None:
    answers = patch_of(document)["responses"]
    answers["202"] = answers.pop("200")


BREAKING: dict[Callable[[Json], None], str] = {
    remove_operation: "POST /v1/devices was removed",
    rename_operation: "PATCH /v1/devices/{device_id}: the operationId was updateDevice",
    remove_answered_field: "PATCH /v1/devices/{device_id}: answer 200: the field label was removed",
    remove_sent_field: "PATCH /v1/devices/{device_id}: body: the field label was removed",
    require_sent_field: "PATCH /v1/devices/{device_id}: body: label is required now",
    leave_field_out: "GET /v1/devices/{device_id}: answer 200: mode is not always present any more",
    answer_null: "GET /v1/devices/{device_id}: answer 200: device_id: the type was string, and is null or string",
    shorten: "PATCH /v1/devices/{device_id}: body: label: maxLength was 200, and is 3",
    remove_parameter: "GET /v1/events: query parameter user_id was removed",
    require_parameter: "GET /v1/events: query parameter site is new and required",
    remove_value: "GET /v1/commands: query parameter status: the values waiting were removed",
    change_scope: "PATCH /v1/devices/{device_id}: the scope was devices:write",
    remove_answer: "PATCH /v1/devices/{device_id}: the answer 200 was removed",
}


@pytest.mark.parametrize("change", BREAKING, ids=lambda change: str(change.__name__))
def test_a_breaking_change_is_named(change: Callable[[Json], None], full_document: Json) -> None:
    changed = copy.deepcopy(full_document)
    change(changed)
    assert BREAKING[change] in breaking_changes(full_document, changed)


def add_operation(document: Json) -> None:
    document["paths"]["/v1/sites"] = {"get": patch_of(document)}


def add_optional_parts(document: Json) -> None:
    schemas = document["components"]["schemas"]
    schemas["Device"]["properties"]["site"] = {"type": "string"}
    schemas["Device"]["required"].append("site")
    schemas["DeviceChange"]["properties"]["site"] = {"type": "string"}
    schemas["DeviceChange"]["properties"]["label"]["maxLength"] = 500
    parameters = document["paths"]["/v1/events"]["get"]["parameters"]
    parameters.append({"name": "site", "in": "query", "schema": {"type": "string"}})
    patch_of(document)["responses"]["202"] = patch_of(document)["responses"]["200"]


@pytest.mark.parametrize("change", [add_operation, add_optional_parts])
def test_an_addition_is_not_reported(change: Callable[[Json], None], full_document: Json) -> None:
    changed = copy.deepcopy(full_document)
    change(changed)
    assert breaking_changes(full_document, changed) == []
