"""Make's IML, as much of it as the app uses: the text between `{{` and `}}`. Anything else raises ImlError.

The meaning follows Make's documentation of custom apps ("JavaScript in Make", "Processing of 'empty' values",
"Functions"). The rules that matter here: a string that is one expression keeps the value's type; a missing value is
`undefined`, and an undefined value is left out of its collection; `{{...}}` as a key merges a collection in; properties
with a dash are in backticks; equality is strict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SPREAD = "{{...}}"


class ImlError(Exception):
    """An expression that Make would reject, or that this parser doesn't support."""


class _Undefined:
    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Any = _Undefined()


# Values


def empty(value: Any) -> bool:
    """Whether `ifempty` treats the value as empty: undefined, null or an empty text."""
    return value is UNDEFINED or value is None or value == ""


def truthy(value: Any) -> bool:
    """Whether a value is true, as in JavaScript, where empty arrays and collections are true."""
    return isinstance(value, (list, dict)) or bool(value)


def text(value: Any) -> str:
    """Returns a value as it is inserted into a text."""
    if value is UNDEFINED or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ImlError(f"a {type(value).__name__} within a text")


def _format_date(value: Any, form: str, zone: str) -> str:
    if not isinstance(value, datetime):
        raise ImlError(f"formatDate of {value!r}")
    if (form, zone) != ("YYYY-MM-DDTHH:mm:ssZ", "UTC"):
        raise ImlError(f"a form of date that is not known here: {form} {zone}")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _to_collection(pairs: Any, key: str, value: str) -> Any:
    return UNDEFINED if pairs is UNDEFINED else {pair[key]: pair.get(value, UNDEFINED) for pair in pairs}


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ifempty": lambda value, instead: instead if empty(value) else value,
    "formatDate": _format_date,
    "split": lambda value, separator: value.split(separator),
    "last": lambda array: array[-1],
    "toCollection": _to_collection,
}
"""Beside `if`, which evaluates one branch only."""


def _plus(left: Any, right: Any) -> Any:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (left, right))
    return left + right if numbers else text(left) + text(right)


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


# Expressions


@dataclass(frozen=True)
class Literal:
    value: Any


@dataclass(frozen=True)
class Path:
    names: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """A function call. An operator is a call of the function named by its sign."""

    name: str
    arguments: tuple[Node, ...]


Node = Literal | Path | Call

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?)
    | (?P<string>'[^']*'|"[^"]*")
    | (?P<name>[A-Za-z_]\w*)
    | (?P<quoted>`[^`]+`)
    | (?P<sign>==|!=|&&|\|\||[+!().,])
    )""",
    re.VERBOSE,
)
_WORDS = {"true": True, "false": False, "null": None, "undefined": UNDEFINED}
_LEVELS = (("||",), ("&&",), ("==", "!="), ("+",))  # lowest precedence first


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = list(self._tokens())
        self.at = 0

    def _tokens(self) -> Iterator[tuple[str, str]]:
        position, source = 0, self.source.rstrip()
        while position < len(source):
            found = _TOKEN.match(source, position)
            if found is None or found.lastgroup is None:
                raise self._wrong(f"{source[position:]!r} can't be read")
            yield found.lastgroup, found[found.lastgroup]
            position = found.end()

    def _wrong(self, what: str) -> ImlError:
        return ImlError(f"{what} in {{{{{self.source}}}}}")

    def whole(self) -> Node:
        made = self._level(0)
        if self.at < len(self.tokens):
            raise self._wrong("something is left over")
        return made

    def _take(self, *signs: str) -> str | None:
        if self.at < len(self.tokens):
            kind, found = self.tokens[self.at]
            if kind == "sign" and found in signs:
                self.at += 1
                return found
        return None

    def _next(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise self._wrong("something is missing")
        self.at += 1
        return self.tokens[self.at - 1]

    def _level(self, depth: int) -> Node:
        if depth == len(_LEVELS):
            return self._one()
        left = self._level(depth + 1)
        while sign := self._take(*_LEVELS[depth]):
            left = Call(sign, (left, self._level(depth + 1)))
        return left

    def _one(self) -> Node:
        if self._take("!"):
            return Call("!", (self._one(),))
        if self._take("("):
            made = self._level(0)
            if not self._take(")"):
                raise self._wrong(") is missing")
            return made
        match self._next():
            case ("number", found):
                return Literal(float(found) if "." in found else int(found))
            case ("string", found):
                return Literal(found[1:-1])
            case ("name", found) if found in _WORDS:
                return Literal(_WORDS[found])
            case ("name", found):
                return self._call(found) if self._take("(") else self._path(found)
            case (_, found):
                raise self._wrong(f"{found!r} is not expected")
        raise AssertionError

    def _path(self, name: str) -> Path:
        names = [name]
        while self._take("."):
            kind, found = self._next()
            if kind not in ("name", "quoted"):
                raise self._wrong(f"{found!r} is no property")
            names.append(found.strip("`"))
        return Path(tuple(names))

    def _call(self, name: str) -> Call:
        arguments: list[Node] = []
        if not self._take(")"):
            arguments.append(self._level(0))
            while self._take(","):
                arguments.append(self._level(0))
            if not self._take(")"):
                raise self._wrong(") is missing")
        if name not in (*FUNCTIONS, "if"):
            raise self._wrong(f"the function {name} is not known")
        return Call(name, tuple(arguments))


def _value(node: Node, context: Mapping[str, Any]) -> Any:
    match node:
        case Literal(value):
            return value
        case Path(names):
            return _follow(context, names)
        case Call("if", (condition, yes, no)):
            return _value(yes if truthy(_value(condition, context)) else no, context)
        case Call("||", (left, right)):
            found = _value(left, context)
            return found if truthy(found) else _value(right, context)
        case Call("&&", (left, right)):
            found = _value(left, context)
            return _value(right, context) if truthy(found) else found
        case Call("!", (only,)):
            return not truthy(_value(only, context))
    assert isinstance(node, Call)
    values = [_value(argument, context) for argument in node.arguments]
    match node.name:
        case "==":
            return _same(*values)
        case "!=":
            return not _same(*values)
        case "+":
            return _plus(*values)
    return FUNCTIONS[node.name](*values)


def _follow(context: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    value: Any = context
    for name in names:
        if not isinstance(value, Mapping) or name not in value:
            return UNDEFINED
        value = value[name]
    return value


# Strings, and the blocks that contain them

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def transform(value: Any, context: Mapping[str, Any]) -> Any:
    """Returns a block with its expressions evaluated and undefined values left out."""
    if isinstance(value, str):
        return _string(value, context)
    if isinstance(value, list):
        made = [transform(part, context) for part in value]
        return [part for part in made if part is not UNDEFINED]
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, part in value.items():
            made = transform(part, context)
            if key == SPREAD:
                found |= {} if made is UNDEFINED else made
            else:
                found[key] = made
        return {key: part for key, part in found.items() if part is not UNDEFINED}
    return value


def _string(source: str, context: Mapping[str, Any]) -> Any:
    whole = _EXPRESSION.fullmatch(source)
    if whole and "{{" not in whole[1]:
        return _value(_Parser(whole[1]).whole(), context)
    return _EXPRESSION.sub(lambda found: text(_value(_Parser(found[1]).whole(), context)), source)


def expressions(value: Any) -> Iterator[Node]:
    """Yields every expression of a block, parsed. Raises ImlError for an invalid one."""
    if isinstance(value, str):
        rest = _EXPRESSION.sub("", value)
        if "{{" in rest or "}}" in rest:
            raise ImlError(f"braces that don't match: {value!r}")
        for found in _EXPRESSION.findall(value):
            yield _Parser(found).whole()
    elif isinstance(value, list):
        for part in value:
            yield from expressions(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key != SPREAD and "{{" in key:
                raise ImlError(f"an expression as a key: {key!r}")
            yield from expressions(part)


def paths(node: Node) -> Iterator[tuple[str, ...]]:
    """Yields the path of every variable in an expression."""
    if isinstance(node, Path):
        yield node.names
    if isinstance(node, Call):
        for argument in node.arguments:
            yield from paths(argument)
