"""The request: what the openai client would send for the same arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from agentkernel.api import InvalidCall, InvalidMessages, LLMCall

__all__ = ["NO_EXTRAS", "UNSET", "Extras", "encode", "extras_of", "fields_of"]

UNSET = msgspec.UNSET
"""The caller said nothing."""

_CLIENT_ONLY = frozenset({"extra_body", "extra_headers", "extra_query", "timeout"})
"""Arguments of the openai client that are no request fields."""

_OMITTED = frozenset({"NotGiven", "Omit"})
"""Names of the openai client's types for "leave this out"; it is not imported for them."""


class Extras(msgspec.Struct, frozen=True):
    """What one call wants beside its body; ``timeout`` is what the openai client takes."""

    headers: Mapping[str, str] | None = None
    query: tuple[tuple[str, str], ...] = ()
    timeout: Any = UNSET


NO_EXTRAS = Extras()


def fields_of(call: LLMCall, model: str | None) -> dict[str, Any]:
    """The request fields of ``call``, save for ``stream``; ``model`` is for a call that names none."""
    params = call.params
    fields: dict[str, Any] = {"messages": call.messages}
    model = call.model or model
    if model is not None:
        fields["model"] = model
    if call.tools:
        fields["tools"] = call.tools
    fields.update(params)
    if not _CLIENT_ONLY.isdisjoint(params):
        for name in _CLIENT_ONLY:
            fields.pop(name, None)
        fields.update(_mapping(params, "extra_body"))
    return fields


def extras_of(call: LLMCall) -> Extras:
    """What ``call`` wants beside its body."""
    params = call.params
    if call.headers is None and _CLIENT_ONLY.isdisjoint(params):
        return NO_EXTRAS
    headers = _given({**(call.headers or {}), **_mapping(params, "extra_headers")})
    for name, value in headers.items():
        _check_header(name, value)
    query: list[tuple[str, str]] = []
    for name, value in _mapping(params, "extra_query").items():
        query.extend(_query_pairs(str(name), value))
    timeout = params.get("timeout", UNSET)
    return Extras(headers or None, tuple(query), UNSET if _is_omitted(timeout) else timeout)


def encode(fields: dict[str, Any]) -> bytes:
    """``fields`` as JSON.

    Raises:
        InvalidCall: something in them is no JSON value; the text says where.
    """
    try:
        body = _encode(fields)
    except RecursionError as error:
        raise InvalidCall("the request's fields contain themselves, or nest too deep") from error
    except (TypeError, ValueError, OverflowError):
        fields = {name: _without_omitted(field) for name, field in _given(fields).items()}
        body = _encode_or_explain(fields)
    # msgspec writes NaN as null; the search is for the few bodies that have a null at all.
    if b"null" in body and _has_non_finite(fields):
        raise _not_json(fields, _is_non_finite)
    return body


def _mapping(params: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = params.get(name)
    if value is None or _is_omitted(value):
        return {}
    if not isinstance(value, Mapping):
        raise InvalidCall(f"params[{name!r}]: expected a mapping, found {type(value).__name__}")
    return value


def _check_header(name: object, value: object) -> None:
    """Values are not shown: any header may carry a key."""
    if not isinstance(name, str) or not isinstance(value, str):
        found = f"{type(name).__name__} with {type(value).__name__}"
        raise InvalidCall(f"header {name!r}: expected a text with a text, found {found}")
    if any(mark in name or mark in value for mark in "\r\n\0"):
        raise InvalidCall(
            f"header {name!r}: expected one line, found a line break or NUL. Strip it"
        )


def _query_pairs(name: str, value: object) -> list[tuple[str, str]]:
    """Query parameters in the openai client's form: ``a[b]=1``, ``a[]=1&a[]=2``."""
    if isinstance(value, Mapping):
        return [p for key, inner in value.items() for p in _query_pairs(f"{name}[{key}]", inner)]
    if isinstance(value, (list, tuple)):
        return [pair for inner in value for pair in _query_pairs(f"{name}[]", inner)]
    if value is None or _is_omitted(value):
        return []
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


def _is_omitted(value: object) -> bool:
    return type(value).__name__ in _OMITTED


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if not _is_omitted(value)}


def _without_omitted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_omitted(inner) for name, inner in _given(value).items()}
    if isinstance(value, (list, tuple)):
        return [_without_omitted(inner) for inner in value]
    return value


def _as_json(value: Any) -> Any:
    """What the openai client sends for values that are no JSON but are allowed in its arguments."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump") and not isinstance(value, type):  # a pydantic model
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


_encode = msgspec.json.Encoder(enc_hook=_as_json).encode


def _encode_or_explain(fields: dict[str, Any]) -> bytes:
    try:
        return _encode(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise _not_json(fields, _is_no_json) from error


def _has_non_finite(value: Any) -> bool:
    for inner in value.values() if type(value) is dict else value:
        kind = type(inner)
        if kind is float:
            if not math.isfinite(inner):
                return True
        elif (kind is dict or kind is list or kind is tuple) and _has_non_finite(inner):
            return True
    return False


def _is_non_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _is_no_json(value: object) -> bool:
    try:
        _encode(value)
    except (TypeError, ValueError, OverflowError):
        return True
    return False


def _not_json(fields: Mapping[str, Any], wrong: Callable[[object], bool]) -> InvalidCall:
    path, found = _find(fields, wrong) or ((), fields)
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]
    if path and path[0] == "messages":
        return InvalidMessages(where, found=found, expected="a JSON value")
    if not path:
        return InvalidCall("the request's fields: expected text as keys of every mapping")
    text = repr(found)
    text = text if len(text) <= 80 else text[:77] + "..."
    return InvalidCall(
        f"{where}: expected a JSON value, found {type(found).__name__} {text}. "
        "Convert it to text, a finite number, a boolean, None, a list or a dict"
    )


def _find(value: Any, wrong: Callable[[object], bool]) -> tuple[tuple[Any, ...], object] | None:
    """Path and value of the first leaf that is ``wrong``."""
    if isinstance(value, (Mapping, list, tuple)):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            found = _find(inner, wrong)
            if found is not None:
                return (key, *found[0]), found[1]
        return None
    return ((), value) if wrong(value) else None
