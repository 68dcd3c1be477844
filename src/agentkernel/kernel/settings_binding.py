"""From a table of raw settings to a validated struct; errors name key, value, type and place."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union

import msgspec

from agentkernel.api.errors import SettingsError

__all__ = ["MASK", "EnvironmentText", "KeyPath", "bind_table", "displayed", "unknown_key"]

KeyPath = tuple[str, ...]
Locate = Callable[[KeyPath], str]
"""The source of the setting at a path, in words."""

MASK = "***"

_SECRET_WORDS = frozenset(
    {
        "apikey",
        "authorization",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "token",
    }
)
_KEY_OWNERS = frozenset({"access", "api", "encryption", "private", "signing"})

T = TypeVar("T", bound=msgspec.Struct)


class EnvironmentText(str):
    """A value from the environment: text that takes the type of the field that it sets."""

    __slots__ = ()


def _is_secret(key: str) -> bool:
    """Whether the name of a setting says that its value is not for display."""
    words = key.lower().replace("-", "_").split("_")
    return not _SECRET_WORDS.isdisjoint(words) or (
        "key" in words and not _KEY_OWNERS.isdisjoint(words)
    )


def unknown_key(path: KeyPath, known: Collection[str], locate: Locate) -> SettingsError:
    """The error for a key that nobody reads, with the known one that is spelled most like it."""
    near = difflib.get_close_matches(path[-1], list(known), n=1)
    listed = ", ".join(sorted(known)) or "no key"
    return SettingsError(
        key=".".join(path),
        found=path[-1],
        expected=f"one of the keys {listed}" if known else "no further key",
        source=locate(path),
        cure=f"Did you mean {near[0]!r}?" if near else "Remove it",
    )


def bind_table(struct: type[T], table: Mapping[str, object], path: KeyPath, locate: Locate) -> T:
    """Validate ``table``, the settings at ``path``, against ``struct``.

    Raises:
        SettingsError: a key is unknown or missing, or a value has the wrong type; ``locate`` gives
            its source.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in fields:
            raise unknown_key((*path, key), fields, locate)
        field = fields[key]
        values[field.name] = _convert(field.type, value, (*path, key), locate)
    for key, field in fields.items():
        if field.required and field.name not in values:
            raise _missing(field.type, (*path, key), path, locate)
    try:
        return struct(**values)
    except (TypeError, ValueError) as error:  # from the struct's own __post_init__
        raise SettingsError(
            key=".".join(path),
            found=displayed(table, path),
            expected=f"values that fit together ({error})",
            source=locate(path),
        ) from error


def _convert(wanted: Any, value: object, path: KeyPath, locate: Locate) -> object:
    if isinstance(value, Mapping):
        for member in _members(wanted):
            if isinstance(member, type) and issubclass(member, msgspec.Struct):
                return bind_table(member, value, path, locate)
            if typing.get_origin(member) in (dict, Mapping) and typing.get_args(member)[0] is str:
                item = typing.get_args(member)[1]
                value = {k: _convert(item, v, (*path, k), locate) for k, v in value.items()}
    try:
        if isinstance(value, EnvironmentText):
            return msgspec.convert(_from_environment(wanted, value), wanted, strict=False)
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise SettingsError(
            key=".".join(path),
            found=displayed(value, path),
            expected=_in_words(wanted, error),
            source=locate(path),
        ) from error


def _from_environment(wanted: Any, text: EnvironmentText) -> object:
    members = list(_members(wanted))
    kinds = [typing.get_origin(member) or member for member in members]
    if str not in kinds and any(_is_list(kind) for kind in kinds):
        return [item.strip() for item in text.split(",") if item.strip()]
    return str(text)


def _is_list(kind: object) -> bool:
    return isinstance(kind, type) and (
        issubclass(kind, (list, tuple, set, frozenset)) or kind in (Sequence, Collection)
    )


def _members(wanted: Any) -> Iterator[Any]:
    """The types of a union, without ``Annotated`` around them."""
    origin = typing.get_origin(wanted)
    if origin is Annotated:
        yield from _members(typing.get_args(wanted)[0])
    elif origin in (Union, types.UnionType):
        for member in typing.get_args(wanted):
            yield from _members(member)
    else:
        yield wanted


def _missing(wanted: Any, path: KeyPath, table: KeyPath, locate: Locate) -> SettingsError:
    return SettingsError(
        key=".".join(path),
        found=None,
        expected=_in_words(wanted, None),
        source=locate(table),
        cure=f"It is required: set {path[-1]!r} in [{'.'.join(table)}]",
    )


def displayed(value: object, path: KeyPath) -> object:
    """``value`` without secrets.

    The first two parts of a path name a table, whatever they sound like.
    """
    if any(_is_secret(key) for key in path[2:]):
        return MASK
    if isinstance(value, Mapping):
        return {key: displayed(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [displayed(item, path) for item in value]
    return str(value) if isinstance(value, EnvironmentText) else value


def _in_words(wanted: Any, error: Exception | None) -> str:
    from agentkernel.kernel.type_words import type_words  # msgspec.inspect, for errors only

    return type_words(wanted, fallback=str(error) if error else "a value")
