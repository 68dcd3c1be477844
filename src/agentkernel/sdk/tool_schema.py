"""Tools from functions: the JSON schema comes from the annotations."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import msgspec

from agentkernel.api import InvalidToolSchema, Tool

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "__agentkernel_tool__"
_JSON_TYPES = {str, int, float, bool, type(None), Any, list, dict}


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

    def decorate(function: F) -> F:
        built = build_tool(function, name, description, parameters, max_parallel, timeout_s)
        setattr(function, _ATTRIBUTE, built)
        return function

    return decorate if function is None else decorate(function)


def as_tool(function: Callable[..., Any] | Tool) -> Tool:
    """The tool that a function is, or becomes now."""
    if isinstance(function, Tool):
        return function
    marked = getattr(function, _ATTRIBUTE, None)
    return marked if isinstance(marked, Tool) else build_tool(function)


def build_tool(
    function: Callable[..., Any],
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    max_parallel: int | None = None,
    timeout_s: float | None = None,
) -> Tool:
    """A tool that runs ``function``. Arguments reach it as the types that it is annotated with."""
    known_as: str = name or getattr(function, "__name__", type(function).__name__)
    run = function
    if parameters is None:
        arguments = _arguments_type(function, known_as)
        parameters = _object_schema(arguments)
        if not all(hint in _JSON_TYPES for hint in _hints(function).values()):
            run = _converting(function, arguments)
    return Tool(
        name=known_as,
        description=_first_paragraph(function) if description is None else description,
        parameters=parameters,
        function=run,
        max_parallel=max_parallel,
        timeout_s=timeout_s,
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(function, include_extras=True)
    return {name: hints.get(name, Any) for name in inspect.signature(function).parameters}


def _arguments_type(function: Callable[..., Any], known_as: str) -> type[msgspec.Struct]:
    """A struct with one field for each parameter."""
    fields: list[Any] = []
    hints = _hints(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidToolSchema(
                known_as, f"parameter {str(parameter)!r} cannot be passed by name; give explicit parameters"
            )
        required = parameter.default is parameter.empty
        field = (parameter.name, hints[parameter.name])
        fields.append(field if required else (*field, _default(parameter.default)))
    return msgspec.defstruct(known_as, fields, kw_only=True, forbid_unknown_fields=True)


def _default(value: object) -> object:
    return msgspec.field(default_factory=lambda: value) if isinstance(value, (list, dict, set)) else value


def _object_schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    try:
        (schema,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise InvalidToolSchema(
            arguments.__name__, f"{error}. Annotate parameters with JSON types, or pass parameters=..."
        ) from error
    own = components.pop(arguments.__name__, schema)
    own.pop("title", None)
    return {**own, "$defs": components} if components else own


def _converting(function: Callable[..., Any], arguments: type[msgspec.Struct]) -> Callable[..., Any]:
    names = arguments.__struct_fields__

    def convert(given: dict[str, Any]) -> dict[str, Any]:
        typed = msgspec.convert(given, arguments)
        return {name: getattr(typed, name) for name in names}

    @functools.wraps(function)
    def run(**given: Any) -> Any:
        return function(**convert(given))

    @functools.wraps(function)
    async def run_async(**given: Any) -> Any:
        return await function(**convert(given))

    return run_async if inspect.iscoroutinefunction(function) else run


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
