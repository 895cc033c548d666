"""asyncapi.yaml is valid AsyncAPI 3.0, has every event type, and its samples fit its schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from app.events.samples import sample
from app.events.types import EVENT_TYPES
from app.openapi.asyncapi import asyncapi
from tests import node
from tests.harness import ROOT

_FOLDER = Path(__file__).parent / "node"
# Prints what the official parser reports as an error.
_PARSE = """\
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
const { diagnostics } = await new Parser().parse(readFileSync(process.argv[1], "utf8"));
const errors = diagnostics.filter(({ severity }) => severity === 0);
if (errors.length) {
  console.log(JSON.stringify(errors, null, 2));
  process.exit(1);
}
"""
_RULES = """\
extends: [["spectral:asyncapi", all]]
rules: {asyncapi-info-contact: off, asyncapi-3-tags: off, asyncapi-latest-version: off}
"""


def test_the_file_is_what_the_program_generates() -> None:
    assert yaml.safe_load((ROOT / "asyncapi.yaml").read_text()) == asyncapi()


def test_every_event_type_is_a_message_of_each_channel_and_its_sample_fits() -> None:
    document = asyncapi()
    messages, schemas = document["components"]["messages"], document["components"]["schemas"]
    assert [*messages] == [*EVENT_TYPES]
    assert all([*channel["messages"]] == [*EVENT_TYPES] for channel in document["channels"].values())
    for name in EVENT_TYPES:
        schema = schemas[messages[name]["payload"]["$ref"].rpartition("/")[2]]
        Draft7Validator.check_schema(schema)
        Draft7Validator(schema).validate(sample(name))
        with pytest.raises(Exception, match=r"is not of type|is not one of"):
            Draft7Validator(schema).validate({**sample(name), "type": 7})


@pytest.mark.timeout(300)  # the first run installs
def test_it_is_valid_asyncapi_3_0(tmp_path: Path) -> None:
    node.installed(_FOLDER)
    found = _FOLDER / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
    rules = Draft7Validator(json.loads(found.read_text()))
    assert [error.message for error in rules.iter_errors(asyncapi())] == []
    assert [*rules.iter_errors({**asyncapi(), "channels": {"webhook": {"address": 7}}})]
    parsed = node.run(_FOLDER, "node", "--input-type=module", "-e", _PARSE, ROOT / "asyncapi.yaml")
    assert parsed.returncode == 0, parsed.stdout
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump({**asyncapi(), "channels": {"webhook": {"address": 7}}}))
    assert node.run(_FOLDER, "node", "--input-type=module", "-e", _PARSE, broken).returncode == 1
    (tmp_path / "rules.yaml").write_text(_RULES)
    program = _FOLDER / "node_modules/.bin/spectral"
    linted = node.run(
        _FOLDER,
        program,
        "lint",
        "-r",
        tmp_path / "rules.yaml",
        "--fail-severity=hint",
        ROOT / "asyncapi.yaml",
    )
    assert linted.returncode == 0 and "No results" in linted.stdout, linted.stdout
