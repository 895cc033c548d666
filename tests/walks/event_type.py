"""docs/develop/add-an-event-type.md: adds `subscription.enabled`, an event that the relay creates."""

from __future__ import annotations

from tests.walks.copied_tree import CopiedTree

PAGE = "docs/develop/add-an-event-type.md"
TEST = "tests/delivery/test_enabled_event.py"
DOCUMENTED = ("tests/docs/test_docs_are_up_to_date.py",)
TESTS = (*DOCUMENTED, TEST, "tests/make/test_app_is_the_program.py")


def define(tree: CopiedTree) -> None:
    """Add the schema, and its entry in `SCHEMAS`."""
    tree.insert(
        "app/events/types.py",
        """class SubscriptionEnabled(Event):
    event_type = "subscription.enabled"
    summary = "A subscription was enabled."
    of_device = False

    subscription_id = _text("Which subscription.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1")


""",
        before="SCHEMAS: dict[",
    )
    tree.insert(
        "app/events/types.py", "        SubscriptionEnabled,\n", after="        SubscriptionDisabled,\n"
    )


def publish(tree: CopiedTree) -> None:
    """Publish the event."""
    tree.replace(
        "app/api/subscriptions.py",
        '"active", None\n\n    return answer(_shown(_changed(subscription_id, how)))\n',
        '"active", None\n\n    changed = _changed(subscription_id, how)\n'
        '    store().relay_events.publish("subscription.enabled", {"subscription_id": subscription_id})\n'
        "    return answer(_shown(changed))\n",
    )


def document(tree: CopiedTree) -> None:
    """Add it to the contract's table and to the changelog."""
    tree.insert(
        "docs/contract.md",
        "| `subscription.enabled` | the relay | `subscription_id` |\n",
        after="| `subscription.disabled` | the relay | `subscription_id`, `target_url`, `reason` |\n",
    )
    tree.insert(
        "CHANGELOG.md",
        "\n- The event `subscription.enabled`.\n",
        after="## [Unreleased]\n",
    )


def add_test(tree: CopiedTree) -> None:
    """Add a test that causes the event and receives it by webhook."""
    tree.create(
        TEST,
        '''"""`subscription.enabled` is delivered when a subscription is enabled."""

from __future__ import annotations

from app.events.types import FIELDS
from tests.harness import Receiver, Relay, wait_for


def test_enabling_a_subscription_is_an_event(relay: Relay, receiver: Receiver) -> None:
    enabled = relay.subscribe(receiver, events=["subscription.enabled"])["id"]
    assert relay.call("POST", f"/v1/subscriptions/{enabled}/enable").status_code == 200
    wait_for(lambda: receiver.received, 30)
    event = receiver.received[0].json
    assert tuple(event) == FIELDS["subscription.enabled"]
    assert (event["subscription_id"], event["device_id"]) == (enabled, None)
''',
    )
