"""Tools from functions: the JSON schema comes from the annotations."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import msgspec

from agentkernel.api import InvalidToolArguments, InvalidToolSchema, Tool

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "__agentkernel_tool__"
_PLAIN = (Any, str, bool, list, dict)
"""Types that decoded JSON has already. Not ``int``: to JSON Schema, 5.0 is an integer."""


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    max_parallel: int | None = None,
    timeout_s: float | None = None,
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    max_parallel: int | None = None,
    timeout_s: float | None = None,
) -> F | Callable[[F], F]:
    """Mark a function as a tool. It stays the function it was; ``add_tool`` of a client registers it.

    Args:
        name: None takes the function's.
        description: None takes the first paragraph of the docstring.
        parameters: JSON schema; None derives it from the annotations.
        max_parallel, timeout_s: as in :class:`~agentkernel.api.Tool`.

    Raises:
        InvalidToolSchema: a parameter has no JSON form.
    """
    options: dict[str, Any] = {
        "name": name,
        "description": description,
        "parameters": parameters,
        "max_parallel": max_parallel,
        "timeout_s": timeout_s,
    }

    def decorate(function: F) -> F:
        build_tool(function, **options)
        setattr(function, _ATTRIBUTE, options)
        return function

    return decorate if function is None else decorate(function)


def as_tool(function: Callable[..., Any] | Tool) -> Tool:
    """The tool that a function is, or becomes now."""
    if isinstance(function, Tool):
        return function
    options = getattr(function, _ATTRIBUTE, None)
    return build_tool(function, **options) if isinstance(options, dict) else build_tool(function)


def build_tool(
    function: Callable[..., Any],
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    max_parallel: int | None = None,
    timeout_s: float | None = None,
) -> Tool:
    """A tool that runs ``function``. Arguments reach it as the types that it is annotated with."""
    subject: Any = function.func if isinstance(function, functools.partial) else function
    known_as = name or str(getattr(subject, "__name__", type(subject).__name__))
    run = subject.__call__ if _is_object(function) else function
    if parameters is None:
        hints = _hints(function, subject, known_as)
        parameters = _object_schema(function, hints, known_as)
        if not all(any(hint is plain for plain in _PLAIN) for hint in hints.values()):
            run = _converting(run, hints, known_as)
    return Tool(
        name=known_as,
        description=_first_paragraph(subject) if description is None else description,
        parameters=parameters,
        function=run,
        max_parallel=max_parallel,
        timeout_s=timeout_s,
    )


def _is_object(function: object) -> bool:
    """Whether it is an object with ``__call__``, no function, method, class or partial."""
    return not (
        inspect.isroutine(function)
        or inspect.isclass(function)
        or isinstance(function, functools.partial)
    )


def _hints(function: Callable[..., Any], subject: Any, known_as: str) -> dict[str, Any]:
    """The type of each parameter; one whose default is None may be None."""
    annotated = subject
    if not inspect.isroutine(subject):
        annotated = subject.__init__ if inspect.isclass(subject) else subject.__call__
    try:
        parameters = inspect.signature(function).parameters
        hints = _evaluated(annotated)
    except (NameError, SyntaxError, TypeError, ValueError) as error:
        problem = f"its annotations cannot be read: {error}. Import what they name at run time, or pass parameters=..."
        raise InvalidToolSchema(known_as, problem) from error
    return {
        name: hints[name] | None
        if parameter.default is None and name in hints
        else hints.get(name, Any)
        for name, parameter in parameters.items()
    }


def _evaluated(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters' annotations. That of the result may name what only type checkers import."""
    function = inspect.unwrap(function)
    own = {
        name: hint
        for name, hint in getattr(function, "__annotations__", {}).items()
        if name != "return"
    }
    holder = types.SimpleNamespace(__annotations__=own)
    return typing.get_type_hints(holder, getattr(function, "__globals__", {}), include_extras=True)


def _object_schema(
    function: Callable[..., Any], hints: Mapping[str, Any], known_as: str
) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            shown = str(parameter.replace(annotation=parameter.empty))
            raise InvalidToolSchema(
                known_as, f"parameter {shown!r} cannot be passed by name; give explicit parameters"
            )
    try:
        schemas, components = msgspec.json.schema_components(
            hints.values(), ref_template="#/$defs/{name}"
        )
    except TypeError as error:
        problem = " ".join(str(error).split())
        raise InvalidToolSchema(
            known_as, f"{problem}. Annotate parameters with JSON types, or pass parameters=..."
        ) from error
    schema = {
        "type": "object",
        "properties": {
            name: {**schema, **_default(parameters[name].default, hints[name])}
            for name, schema in zip(hints, schemas, strict=True)
        },
        "required": [
            name for name, parameter in parameters.items() if parameter.default is parameter.empty
        ],
        "additionalProperties": False,
    }
    return {**schema, "$defs": components} if components else schema


def _default(value: object, hint: Any) -> dict[str, Any]:
    """What the schema says of a default: nothing when it has no JSON form of the parameter's type."""
    if value is inspect.Parameter.empty:
        return {}
    try:
        plain = msgspec.json.decode(msgspec.json.encode(value))
        msgspec.convert(plain, hint, str_keys=True)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
        return {}
    return {"default": plain}


def _converting(
    function: Callable[..., Any], hints: Mapping[str, Any], known_as: str
) -> Callable[..., Any]:
    def convert(name: str, value: object) -> Any:
        try:
            # Not strict: the schema has refused the wrong types already, and 5.0 shall be an int.
            return msgspec.convert(value, hints.get(name, Any), strict=False, str_keys=True)
        except msgspec.ValidationError as error:
            raise InvalidToolArguments(known_as, [f"{name}: {error}"]) from error

    @functools.wraps(function)
    def run(**given: Any) -> Any:
        return function(**{name: convert(name, value) for name, value in given.items()})

    @functools.wraps(function)
    async def run_async(**given: Any) -> Any:
        return await function(**{name: convert(name, value) for name, value in given.items()})

    return run_async if inspect.iscoroutinefunction(function) else run


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
