"""Reading the control API's JSON bodies: each field once, with its type, and none left over."""

from collections.abc import Mapping


class Fields:
    """The fields of a body. Every reader takes its field out; `done` refuses what nobody asked for.

    ValueError with a sentence for people throughout.
    """

    def __init__(self, body: object) -> None:
        if not isinstance(body, Mapping):
            raise ValueError("the body must be a JSON object")
        self._left = dict(body)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def any(self, name: str) -> object:
        """Return the value in any type; None if the field is missing."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        """Return a string. A number is also accepted, because IDs look like numbers."""
        value = self.any(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be a string")
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise ValueError(f"{name} is missing")
        return value

    def number(self, name: str) -> float | None:
        value = self.any(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{name} must be a number")
        return None if value is None else float(value)

    def whole(self, name: str) -> int | None:
        value = self.number(name)
        if value is not None and value != int(value):
            raise ValueError(f"{name} must be a whole number")
        return None if value is None else int(value)

    def flag(self, name: str) -> bool | None:
        value = self.any(name)
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false")
        return value

    def rest(self) -> dict[str, object]:
        """Return all remaining fields."""
        left, self._left = self._left, {}
        return left

    def done(self) -> None:
        if self._left:
            raise ValueError(f"unknown field {', '.join(sorted(self._left))}")
