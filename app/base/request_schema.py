"""What all request bodies share: unknown fields are refused, and messages say what a right value looks like."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sized
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson
from marshmallow import RAISE, Schema, ValidationError, fields, validate

_UNKNOWN: Final = "is not a field here"
_NO_OBJECT: Final = "must be an object"
_CLOSE = 0.7
_Counted = TypeVar("_Counted", bound=Sized)
_TIME = "2026-11-24T00:00:00Z"


class Body(Schema):
    """The base class of request bodies."""

    error_messages = {"unknown": _UNKNOWN, "type": _NO_OBJECT}  # noqa: RUF012 (marshmallow declares it so)

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Replace marshmallow's messages, and give the example from the field's metadata."""
        examples = field_obj.metadata.get("examples")
        _explain(field_obj, examples[0] if examples else None)

    def handle_error(self, error: ValidationError, data: Any, **_: Any) -> None:
        """List the existing fields if one is unknown, or if the value is not an object."""
        messages: Any = error.messages
        if not isinstance(messages, dict):
            return
        listed = f"The fields are {', '.join(self.load_fields)}"
        for name, found in messages.items():
            if found == [_UNKNOWN]:
                messages[name] = [f"{_UNKNOWN}. {_did_you_mean(name, self.load_fields)}{listed}"]
            elif found == [_NO_OBJECT]:
                messages[name] = [f"{_NO_OBJECT}. {listed}"]


class Flag(fields.Boolean):
    """true or false as JSON has them: a "true" in quotes, a "yes" or a 1 confirms nothing."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Length(validate.Length):
    """Checks the number of characters in a string or of entries in a list.

    `then` checks a value with a valid length. `error` replaces the message. The description of the API contains the
    limits, too.
    """

    def __init__(
        self,
        min: int | None = None,
        max: int | None = None,
        *,
        then: Callable[[Any], None] | None = None,
        error: str | None = None,
    ) -> None:
        super().__init__(min, max, error=error)
        self._then = then

    def __call__(self, value: _Counted) -> _Counted:
        self._check(value)
        if self._then is not None:
            self._then(value)
        return value

    def _check(self, value: _Counted) -> None:
        count, unit = len(value), "characters" if isinstance(value, str) else "entries"
        if self.error and not (self.min or 0) <= count <= (count if self.max is None else self.max):
            raise ValidationError(self.error)
        if self.min and count < self.min:
            allowed = f"at least {self.min}" if self.max is None else f"{self.min} to {self.max}"
            fault = "is empty. It" if count == 0 else f"has {count} {unit}, but"
            raise ValidationError(f"{fault} must have {allowed} {unit}")
        if self.max is not None and count > self.max:
            raise ValidationError(f"has {count} {unit}, but at most {self.max} are allowed")


class Pattern(validate.Regexp):
    """Checks that a string matches a pattern, whose length limits are `min` and `max`."""

    equal = None  # apispec expects it beside min and max

    def __init__(self, pattern: str, min: int, max: int, *, error: str) -> None:
        super().__init__(f"{pattern}\\Z", error=error)
        self.min, self.max = min, max


LONGEST_TIME: Final = 64
_TIME_LENGTH = Length(max=LONGEST_TIME)


class Time(fields.AwareDateTime):
    """A time in ISO 8601, as a string of limited length."""

    def __init__(self, **options: Any) -> None:
        metadata = {**options.pop("metadata", {}), "maxLength": LONGEST_TIME}
        super().__init__(default_timezone=UTC, metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> datetime:
        if isinstance(value, str):
            _TIME_LENGTH(value)
        found: datetime = super()._deserialize(value, attr, data, **more)
        return found


class Range(validate.Range):
    """Checks that a number is within a range. Both ends are allowed."""

    def __call__(self, value: Any) -> Any:
        if not self.min <= value <= self.max:
            raise ValidationError(f"must be from {self.min} to {self.max}")
        return value


class OneOf(validate.OneOf):
    """Checks that a string is one of several words."""

    def __call__(self, value: Any) -> Any:
        if value not in self.choices:
            hint = _did_you_mean(value, self.choices)
            words = (
                " or ".join(self.choices) if len(tuple(self.choices)) == 2 else f"one of {self.choices_text}"
            )
            raise ValidationError(f"is not valid. {hint}It must be {words}" if hint else f"must be {words}")
        return value


def _did_you_mean(name: object, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(str(name)[:64].lower(), known, n=1, cutoff=_CLOSE)
    return f"Did you mean {nearest[0]}? " if nearest else ""


def _explain(field: fields.Field[Any], example: Any) -> None:
    """Give a field and the fields in it messages that say what is expected."""
    hint = "" if example is None else f", e.g. {_shown(example)}"
    kind = f"{_kind(field)}{hint or _default_hint(field)}"
    texts = {
        **dict.fromkeys(field.error_messages, f"must be {kind}"),
        "required": f"is required{hint}",
        "null": f"can't be null{hint}",
    }
    # marshmallow formats its messages: a brace in one stands for a value
    field.error_messages = {
        key: text.replace("{", "{{").replace("}", "}}") if "{" in text else text
        for key, text in texts.items()
    }
    if isinstance(field, fields.List):
        _explain(field.inner, example[0] if example else None)
    elif isinstance(field, fields.Dict):
        for part in (field.key_field, field.value_field):
            if part is not None:
                _explain(part, None)


def _kind(field: fields.Field[Any]) -> str:
    if isinstance(field, fields.List):
        return "a list of strings" if isinstance(field.inner, fields.String) else "a list"
    if isinstance(field, fields.Integer):
        span = next((one for one in field.validators if isinstance(one, Range)), None)
        return f"a whole number{'' if span is None else f' from {span.min} to {span.max}'}, without quotes"
    if isinstance(field, fields.DateTime):
        return "a time in ISO 8601 with an offset"
    if isinstance(field, fields.Boolean):
        return "true or false, without quotes"
    if isinstance(field, fields.String):
        return "a string in quotes"
    return "an object"


def _default_hint(field: fields.Field[Any]) -> str:
    return f", e.g. {_shown(_TIME)}" if isinstance(field, fields.DateTime) else ""


def _shown(example: object) -> str:
    """Return an example as JSON."""
    return orjson.dumps(example).decode().replace('","', '", "').replace('":', '": ')
