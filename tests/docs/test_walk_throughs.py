"""Each page in docs/develop lists all files that its change touches, and following it leads to a tree whose tests pass.

Each test walks through a page on a copy of the tree (`tests/walks`). Tests that fail on the way are those that ask
for what the next step adds, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.conftest import PAGES
from tests.harness import ROOT
from tests.walks import console_page, event_field, event_type, operation, platform, setting
from tests.walks.copied_tree import CopiedTree, copied_tree

WALKS = (console_page, event_field, event_type, operation, platform, setting)

pytestmark = pytest.mark.timeout(1_800)  # each copies the tree and runs a part of the suite several times


@pytest.fixture
def tree() -> Iterator[CopiedTree]:
    with copied_tree() as made:
        yield made


def failing(tree: CopiedTree, *tests: str) -> set[str]:
    """Return the names of the tests that fail, without parameters."""
    return {name.partition("::")[2].partition("[")[0] for name in tree.failing(*tests)}


def in_app(tree: CopiedTree) -> set[str]:
    """Return the program's files that were changed by hand. Some pages can't name the module in advance."""
    return {path for path in tree.by_hand if path.startswith(("app/", "workers/"))}


def test_each_page_that_lists_files_has_a_walk() -> None:
    pages = {str(page.relative_to(ROOT)) for page in PAGES if page.parent == ROOT / "docs" / "develop"}
    assert pages - {"docs/develop/decisions.md"} == {walk.PAGE for walk in WALKS}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert [walk.PAGE for walk in WALKS if f"({walk.PAGE})" not in contributing] == []


def test_an_operation(tree: CopiedTree) -> None:
    operation.register(tree)
    made = tree.make_docs()
    assert {"openapi.yaml", "docs/actions.md", "docs/operations.md", "postman/gateway.json"} <= made
    assert failing(tree, *operation.DESCRIBED) == {
        "test_the_operations_are_those_of_the_documented_samples",
        "test_flat_fields_become_exactly_the_documented_body",
        "test_every_documented_response_is_a_success",
        "test_bodies_of_the_gateways_collection_are_the_documented_ones",
    }
    operation.add_sample(tree)
    assert failing(tree, *operation.SIMULATED) == {
        "test_answer_has_the_shape_of_its_sample",
        "test_command_is_recorded_under_its_name_with_its_body",
    }
    operation.simulate(tree)
    operation.test_its_effect(tree)
    assert tree.make_docs() == set()
    assert tree.failing(*operation.DESCRIBED, *operation.SIMULATED) == {}
    assert tree.failing(*operation.CARRIED_OUT, "-k", operation.ABOUT_IT) == {}
    assert (tree.checks(), tree.unlisted(operation.PAGE)) == ("", set())


def test_an_event_type(tree: CopiedTree) -> None:
    event_type.define(tree)
    assert failing(tree, *event_type.DOCUMENTED) == {
        "test_generated_parts_are_fresh",
        "test_every_field_of_an_event_is_documented",
    }
    assert tree.make_docs() >= {"docs/events.md", "openapi.yaml", "asyncapi.yaml"}
    event_type.publish(tree)
    event_type.document(tree)
    event_type.add_test(tree)
    assert tree.failing(*event_type.TESTS) == {}
    assert in_app(tree) == {"app/events/types.py", "app/api/subscriptions.py"}
    assert (tree.checks(), tree.unlisted(event_type.PAGE)) == ("", set())


def test_a_field_of_an_event(tree: CopiedTree) -> None:
    event_field.define(tree)
    assert "docs/events.md" in tree.make_docs()
    event_field.fill_in(tree)
    event_field.document(tree)
    assert failing(tree, event_field.SAMPLES) == {"test_a_documented_callback_becomes_exactly_these_events"}
    event_field.expect_it(tree)
    assert tree.failing(*event_field.TESTS) == {}
    assert (tree.checks(), tree.unlisted(event_field.PAGE)) == ("", set())


def test_a_setting(tree: CopiedTree) -> None:
    setting.define(tree)
    assert failing(tree, setting.DOCUMENTED) == {
        "test_generated_parts_are_fresh",
        "test_every_setting_is_documented",
    }
    assert tree.make_docs() == {"docs/settings.md", ".env.example"}
    setting.add_test(tree)
    assert failing(tree, *setting.TESTS) == {"test_the_console_can_be_turned_off"}
    setting.use(tree)
    setting.document(tree)
    assert tree.failing(*setting.TESTS) == {}
    assert in_app(tree) == {"app/settings/table.py", "app/web/application.py"}
    assert (tree.checks(), tree.unlisted(setting.PAGE)) == ("", set())


def test_a_page_of_the_console(tree: CopiedTree) -> None:
    console_page.add_view(tree)
    console_page.add_template(tree)
    assert failing(tree, *console_page.TEXTS) == {"test_every_text_that_a_page_uses_exists"}
    console_page.add_texts(tree)
    console_page.document(tree)
    console_page.add_test(tree)
    assert tree.make_docs() == {"docs/security.md"}
    assert tree.failing(*console_page.TESTS) == {}
    assert (tree.checks(), tree.unlisted(console_page.PAGE)) == ("", set())


def test_a_platform(tree: CopiedTree) -> None:
    platform.add_receiver(tree)
    platform.document(tree)
    assert tree.make_docs() == set()
    assert tree.failing(*platform.TESTS) == {}
    assert (tree.checks(), tree.unlisted(platform.PAGE)) == ("", set())
