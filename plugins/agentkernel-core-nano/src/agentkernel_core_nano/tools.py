"""The eight tools that `nano` knows by name: real, deterministic and offline.

Each is a plain annotated function that returns text and raises ``ToolError``, so that any framework can register it::

    tools = make_tools()
    tools["calculator"]("12*7")  # '84'
    schemas = [schema(function) for function in tools.values()]  # OpenAI's `tools`
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import operator
from collections.abc import Callable, Mapping, MutableMapping
from datetime import date
from typing import Annotated, Any, get_type_hints

from agentkernel_core_nano._facts import FACTS, UNITS

__all__ = [
    "ToolError",
    "calculator",
    "convert",
    "days_between",
    "lookup",
    "make_tools",
    "run",
    "schema",
    "send",
    "weather",
]

Tool = Callable[..., str]

MAX_EXPRESSION_CHARS = 200
_OPERATORS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}
_SKIES = ("sunny", "cloudy", "light rain", "heavy rain", "snow", "fog", "windy", "thunderstorms")


class ToolError(ValueError):
    """What the tool was asked for cannot be done; the text says why."""


def calculator(expression: Annotated[str, "arithmetic with + - * / and parentheses"]) -> str:
    """Evaluate an arithmetic expression."""
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise ToolError(f"the expression is longer than {MAX_EXPRESSION_CHARS} characters")
    try:
        return _number(_evaluate(ast.parse(expression.strip(), mode="eval").body))
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except (SyntaxError, OverflowError, RecursionError) as error:
        raise ToolError(f"cannot evaluate {expression}") from error


def convert(
    value: Annotated[float, "how many of the unit"],
    from_unit: Annotated[str, "the unit of the value"],
    to_unit: Annotated[str, "the unit that is wanted"],
) -> str:
    """Convert a value between units of length, mass, volume, time or temperature."""
    (kind, scale, zero), (other, to_scale, to_zero) = _unit(from_unit), _unit(to_unit)
    if kind != other:
        raise ToolError(f"{from_unit} and {to_unit} measure different things")
    return _number((value * scale + zero - to_zero) / to_scale)


def days_between(
    start: Annotated[str, "the first date, YYYY-MM-DD"],
    end: Annotated[str, "the second date, YYYY-MM-DD"],
) -> str:
    """Count the days from one date to another; negative where the second is earlier."""
    return str((_date(end) - _date(start)).days)


def lookup(
    key: Annotated[str, "a country or a person"],
    field: Annotated[
        str, "what to tell of it: capital, currency, language, continent, role, phone"
    ],
) -> str:
    """Look up a fact in a small table of countries and made-up staff."""
    entry = FACTS.get(key.casefold())
    if entry is None:
        raise ToolError(f"no entry for {key}")
    if field.casefold() not in entry:
        raise ToolError(f"{key} has no {field}")
    return entry[field.casefold()]


def send(to: Annotated[str, "who gets it"], text: Annotated[str, "the message"]) -> str:
    """Send a short message. It is only pretended: nothing leaves the process."""
    if not to.strip() or not text.strip():
        raise ToolError("the message needs a receiver and a text")
    return "sent"


def weather(
    city: Annotated[str, "the name of the city"],
    when: Annotated[str, "today, tomorrow, tonight or a day of the week"] = "today",
) -> str:
    """Give a made-up forecast: the same city and time always get the same one."""
    if not any(letter.isalpha() for letter in city):
        raise ToolError(f"unknown city {city}")
    place = f"{city.casefold()}|{when.casefold()}".encode()
    sky, warmth = hashlib.blake2b(place, digest_size=2).digest()
    return f"{_SKIES[sky % len(_SKIES)]}, {warmth % 45 - 9} C"


def make_tools(memory: MutableMapping[str, str] | None = None) -> dict[str, Tool]:
    """All eight tools by name; ``remember`` and ``recall`` share ``memory``, a new dict unless given."""
    kept: MutableMapping[str, str] = {} if memory is None else memory

    def recall(key: Annotated[str, "what it was saved as"]) -> str:
        """Tell a value that was saved."""
        if key.casefold() not in kept:
            raise ToolError(f"nothing saved for {key}")
        return kept[key.casefold()]

    def remember(
        key: Annotated[str, "what to save it as"], value: Annotated[str, "the value to save"]
    ) -> str:
        """Save a value."""
        kept[key.casefold()] = value
        return "saved"

    tools = (calculator, convert, days_between, lookup, recall, remember, send, weather)
    return {tool.__name__: tool for tool in tools}


def run(tools: Mapping[str, Tool], name: str, arguments: Mapping[str, Any]) -> str:
    """Call a tool as an agent's runtime does: its text, or ``Error: `` and the reason, for the tool message."""
    if name not in tools:
        return f"Error: there is no tool {name}"
    try:
        return tools[name](**arguments)
    except (TypeError, ToolError) as error:
        return f"Error: {error}"


def schema(tool: Tool) -> dict[str, Any]:
    """The OpenAI function schema of a tool, from its signature, annotations and docstring."""
    hints = get_type_hints(tool, include_extras=True)
    parameters = inspect.signature(tool).parameters
    return {
        "type": "function",
        "function": {
            "name": tool.__name__,
            "description": inspect.cleandoc(tool.__doc__ or "").split("\n")[0],
            "parameters": {
                "type": "object",
                "properties": {name: _property(hints[name]) for name in parameters},
                "required": [n for n, p in parameters.items() if p.default is p.empty],
                "additionalProperties": False,
            },
        },
    }


def _property(hint: Any) -> dict[str, str]:
    kind = "number" if hint.__origin__ is float else "string"
    return {"type": kind, "description": hint.__metadata__[0]}


def _evaluate(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return value  # type: ignore[return-value]  # the guard has narrowed it
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
        case ast.UnaryOp(op, operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(operand))
    raise ToolError(f"only numbers, + - * / and parentheses are known, not {ast.unparse(node)}")


def _number(value: float) -> str:
    """The value to four decimals, without trailing zeros."""
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")


def _unit(name: str) -> tuple[str, float, float]:
    if name.casefold() not in UNITS:
        raise ToolError(f"unknown unit {name}")
    return UNITS[name.casefold()]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ToolError(f"{text} is not a date") from None
