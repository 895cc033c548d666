"""What all request bodies share: unknown fields are refused, and messages say what a right value looks like."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields


class Body(Schema):
    """The base of request bodies."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Says more than marshmallow does, with the example of the field's own metadata."""
        examples = field_obj.metadata.get("examples")
        hint = f", e.g. {examples[0]!r}" if examples else ""
        field_obj.error_messages = {
            **field_obj.error_messages,
            "required": f"is required{hint}",
            "null": f"can't be null{hint}",
        }

    def handle_error(self, error: Any, data: Any, **_: Any) -> None:
        """Names the fields there are where one is not known."""
        messages = error.messages
        if isinstance(messages, dict):
            for name, found in messages.items():
                if found == ["Unknown field."]:
                    messages[name] = [f"is no field of this; there are {', '.join(self.fields)}"]


class Flag(fields.Boolean):
    """true or false as JSON has them: a "true" in quotes, a "yes" or a 1 confirms nothing."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value
