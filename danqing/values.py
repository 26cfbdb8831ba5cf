"""Plain values ↔ frozen, typed dataclasses: what YAML, a command line or JSON gives becomes a config or one clear line.

Knows nothing of what the values mean; `danqing.config` does.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from danqing.errors import ConfigError

T = typing.TypeVar("T")


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition`."""
    if not condition:
        raise ConfigError(message)


def at_least(section: Any, where: str, **least: int) -> None:
    """Each named value of `section`, whose key is `where`, is at least what is given for it."""
    for name, bound in least.items():
        value = getattr(section, name)
        require(value >= bound, f"{where}.{name} is {value}: at least {bound}")


def closest(name: str, known: list[str]) -> str:
    """What a misspelt name may have meant."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _coerce(value: Any, kind: Any, where: str) -> Any:
    """`value` as the annotated type `kind`, or a ConfigError that names `where`."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        choices = [str(c) for c in typing.get_args(kind)]
        if value not in typing.get_args(kind):
            raise ConfigError(f"{where} is {value!r}: use one of {', '.join(choices)}")
        return value
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        items = [part for part in value.split(",") if part] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise ConfigError(f"{where} is {value!r}: a list is needed")
        return tuple(_coerce(item, inner, where) for item in items)
    if origin is Mapping:
        inner = typing.get_args(kind)[1]
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {value!r}: keys and values are needed")
        for key, item in value.items():
            if inner is str and not isinstance(item, str):  # what YAML makes of true, no and 010 is seldom meant
                raise ConfigError(f"{where}.{key} is {item!r}: a word is needed, in quotes")
        return {str(key): _coerce(item, inner, f"{where}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        return _coerce(value, next(a for a in typing.get_args(kind) if a is not type(None)), where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {value!r}: a section with keys is needed")
        return build(typing.cast(type, kind), value, where)
    try:
        if kind is bool:
            table = {"true": True, "false": False, "1": True, "0": False}
            return value if isinstance(value, bool) else table[str(value).lower()]
        if kind is int:
            # "200", and "2e3" and 200.0 too; only what is no whole number by itself goes through float, which rounds.
            plain = isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdecimal())
            number = int(value) if plain else float(value)
            if isinstance(value, bool) or number != int(number):
                raise ValueError
            return int(number)
        if kind is float:
            if isinstance(value, bool):
                raise ValueError
            require(math.isfinite(float(value)), f"{where} is {value!r}: a finite number is needed")
            return float(value)
        return str(value)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ConfigError(f"{where} is {value!r}: {kind.__name__} is needed") from None


def build(kind: type[T], values: Mapping[str, Any], where: str = "", base: T | None = None) -> T:
    """An instance of the config class `kind` from plain values; what is not given comes from `base` or the defaults."""
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{where}.{name}" if where else name
        if name not in names:
            raise ConfigError(f"there is no config key {path!r}: {closest(name, names)}")
        old = getattr(base, name) if base is not None else None
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping) and old is not None:
            given[name] = build(hints[name], value, path, old)
        else:
            given[name] = _coerce(value, hints[name], path)
    return dataclasses.replace(base, **given) if base is not None else kind(**given)  # type: ignore[type-var]


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """["painter.steps=10"] → {"painter.steps": "10"}."""
    result = {}
    for item in assignments:
        key, sign, value = item.partition("=")
        if not sign or not key:
            raise ConfigError(f"{item!r} is not KEY=VALUE, e.g. painter.steps=200")
        result[key.strip()] = value.strip()
    return result


def as_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON-ready values."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(config))))
