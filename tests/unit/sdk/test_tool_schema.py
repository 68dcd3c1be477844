"""Tools from functions: their schemas, and that what a schema accepts reaches the function as it is annotated."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import inspect
import math
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, TypedDict

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkernel import Client, Kernel
from agentkernel.api import InvalidToolArguments, InvalidToolSchema, Tool, ToolFailed
from agentkernel.sdk.tool_schema import as_tool, tool

if TYPE_CHECKING:
    from decimal import Decimal


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Node(msgspec.Struct):
    name: str
    children: list[Node] = []


class Options(TypedDict, total=False):
    depth: int


class NotJSON:
    pass


Percent = Annotated[int, msgspec.Meta(ge=0, le=100, description="in percent")]
Labelled = Annotated[str, {"not": "hashable"}]
NOT_SET = object()


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The derived schema, which is a valid one."""
    schema = dict(as_tool(function).parameters)
    jsonschema_rs.meta.validate(schema)
    jsonschema_rs.validator_for(schema)
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    return schema


def schema_of(hint: Any, default: Any = inspect.Parameter.empty) -> dict[str, Any]:
    """The schema of a parameter of that type."""
    return parameters_of(taking({"x": hint}, {"x": default}))["properties"]["x"]


def taking(hints: dict[str, Any], defaults: dict[str, Any] | None = None) -> Callable[..., Any]:
    """A function with these parameters that returns its arguments."""

    def function(**given: Any) -> Any:
        return given

    empty = inspect.Parameter.empty
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=(defaults or {}).get(name, empty)
            )
            for name in hints
        ]
    )
    function.__annotations__ = hints
    return function


# --- the schema of one parameter


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (Any, {}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (datetime.datetime, {"type": "string"}),
        (
            Annotated[datetime.datetime, msgspec.Meta(tz=True)],
            {"type": "string", "format": "date-time"},
        ),
        (datetime.date, {"type": "string", "format": "date"}),
        (Percent, {"type": "integer", "minimum": 0, "maximum": 100, "description": "in percent"}),
        (Labelled, {"type": "string"}),
    ],
)
def test_annotation_gives_the_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint) == schema


def test_classes_are_referred_to() -> None:
    schema = parameters_of(taking({"color": Color, "at": Point, "tree": Node, "options": Options}))
    assert schema["properties"]["at"] == {"$ref": "#/$defs/Point"}
    assert set(schema["$defs"]) == {"Color", "Point", "Node", "Options"}
    assert sorted(schema["$defs"]["Color"]["enum"]) == ["blue", "red"]
    assert schema["$defs"]["Point"]["required"] == ["x"]
    assert schema["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


def test_classes_of_the_same_name_are_kept_apart() -> None:
    other = dataclasses.make_dataclass("Point", [("z", str)])
    other.__module__ = "elsewhere"
    schema = parameters_of(taking({"one": Point, "two": other}))
    assert len(schema["$defs"]) == 2
    assert schema["properties"]["one"] != schema["properties"]["two"]


@pytest.mark.parametrize("name", ["Point", "my-tool", "my.tool", "x" * 64])
def test_name_of_the_tool_does_not_matter_to_the_schema(name: str) -> None:
    @tool(name=name)
    def move(to: Point) -> None: ...

    assert parameters_of(move)["properties"] == {"to": {"$ref": "#/$defs/Point"}}
    assert as_tool(move).name == name


def test_parameters_without_annotation_take_anything() -> None:
    def search(q, limit=5, *, deep=False): ...  # type: ignore[no-untyped-def]

    assert parameters_of(search) == {
        "type": "object",
        "properties": {"q": {}, "limit": {"default": 5}, "deep": {"default": False}},
        "required": ["q"],
        "additionalProperties": False,
    }


def test_function_without_parameters_takes_the_empty_object() -> None:
    assert parameters_of(lambda: 1) == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_keyword_only_parameters_are_as_the_others() -> None:
    def search(q: str, *, limit: int) -> None: ...

    assert parameters_of(search)["required"] == ["q", "limit"]


@pytest.mark.parametrize(
    "name", ["self", "class_", "_private", "__post_init__", "__dunder", "name", "function"]
)
def test_any_parameter_name_is_fine(name: str) -> None:
    assert parameters_of(taking({name: int}, {name: 3}))["properties"] == {
        name: {"type": "integer", "default": 3}
    }
    assert as_tool(taking({name: int})).function(**{name: 4}) == {name: 4}


# --- defaults


@pytest.mark.parametrize(
    ("hint", "default", "shown"),
    [
        (int, 3, 3),
        (Any, "x", "x"),
        (list[int], [1, 2], [1, 2]),
        (dict[str, int], {}, {}),
        (set[int], {1}, [1]),
        (Color, Color.RED, "red"),
        (Point, Point(1), {"x": 1, "y": 0}),
        (Node, Node("a"), {"name": "a", "children": []}),
        (int, None, None),
        (int | None, None, None),
        (datetime.date, datetime.date(2024, 5, 6), "2024-05-06"),
    ],
)
def test_default_shows_in_json_form(hint: Any, default: Any, shown: Any) -> None:
    assert schema_of(hint, default)["default"] == shown


@pytest.mark.parametrize(
    ("hint", "default"),
    [(int, NOT_SET), (float, math.inf), (float, math.nan), (int, "no number"), (Any, NotJSON())],
)
def test_default_without_json_form_makes_the_parameter_optional_and_does_not_show(
    hint: Any, default: Any
) -> None:
    function = taking({"x": hint}, {"x": default})
    assert "default" not in parameters_of(function)["properties"]["x"]
    assert parameters_of(function)["required"] == []


def test_default_none_allows_null_whatever_the_annotation() -> None:
    def search(limit: int = None) -> object:  # type: ignore[assignment]  # noqa: RUF013
        return limit

    assert parameters_of(search)["properties"]["limit"]["anyOf"] == [
        {"type": "integer"},
        {"type": "null"},
    ]
    assert as_tool(search).function(limit=None) is None


def test_argument_that_is_left_out_takes_the_functions_own_default() -> None:
    default = [Point(1)]

    def search(points: list[Point] = default, missing: object = NOT_SET) -> tuple[object, object]:
        return points, missing

    made = as_tool(tool(parameters={"type": "object"})(search))
    assert made.function()[0] is default

    def typed(
        at: datetime.date, points: Any = default, missing: Any = NOT_SET
    ) -> tuple[object, object]:
        return points, missing

    points, missing = as_tool(typed).function(at="2024-05-06")
    assert (points is default, missing is NOT_SET) == (True, True)


# --- conversion


@pytest.mark.parametrize(
    ("hint", "argument", "arrives"),
    [
        (Color, "blue", Color.BLUE),
        (Point, {"x": 1}, Point(1, 0)),
        (list[Point], [{"x": 1, "y": 2}], [Point(1, 2)]),
        (Point | None, None, None),
        (datetime.datetime, "2024-05-06T07:08:09", datetime.datetime(2024, 5, 6, 7, 8, 9)),  # noqa: DTZ001
        (datetime.date, "2024-05-06", datetime.date(2024, 5, 6)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[str], ["a"], {"a"}),
        (bytes, "eA==", b"x"),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (Percent, 50, 50),
        (int, 5.0, 5),
        (list[int], [5.0], [5]),
        (float, 5, 5.0),
        (int | str, "5", "5"),
        (str, "5", "5"),
        (bool | str, "true", "true"),
        (str | None, "null", "null"),
        (dict, {"a": [1, 2.0]}, {"a": [1, 2.0]}),
        (Any, {"a": 5.0}, {"a": 5.0}),
    ],
)
def test_argument_arrives_as_it_is_annotated(hint: Any, argument: Any, arrives: Any) -> None:
    function = taking({"x": hint})
    assert jsonschema_rs.validator_for(parameters_of(function)).is_valid({"x": argument})
    found = as_tool(function).function(x=argument)["x"]
    assert found == arrives
    assert type(found) is type(arrives)


async def test_async_function_stays_async_and_gets_typed_arguments() -> None:
    async def move(to: Point) -> Point:
        return to

    run = as_tool(move).function
    assert inspect.iscoroutinefunction(run)
    assert await run(to={"x": 1}) == Point(1)


def test_function_whose_arguments_need_no_conversion_is_called_directly() -> None:
    def search(q: str, flags: dict, deep: bool = False) -> None: ...  # type: ignore[type-arg]

    assert as_tool(search).function is search


def test_argument_that_only_the_type_refuses_is_an_invalid_argument() -> None:
    def remind(at: datetime.date) -> None:
        pytest.fail("it ran")

    with pytest.raises(InvalidToolArguments, match="tool 'remind' was not run: at: ") as error:
        as_tool(remind).function(at="tomorrow")
    assert isinstance(error.value.__cause__, msgspec.ValidationError)


def test_error_in_the_tools_own_code_is_not_taken_for_an_invalid_argument(kernel: Kernel) -> None:
    def parse(text: str, base: int = 10) -> int:
        return msgspec.convert(text, int) + base

    Client(kernel).add_tool(parse)
    with pytest.raises(ToolFailed, match="ValidationError"):
        Client(kernel).call_tool("parse", {"text": "x", "base": 3})


# --- what can be a tool


class Searcher:
    """Finds things."""

    limit: str = "no parameter"

    def __call__(self, q: Color, limit: int = 1) -> tuple[object, ...]:
        return self, q, limit

    def method(self, q: Color) -> tuple[object, ...]:
        return self, q

    @classmethod
    def of_class(cls, q: Color) -> tuple[object, ...]:
        return cls, q

    @staticmethod
    def static(q: Color) -> Color:
        return q

    @tool(name="marked", description="Marked in the class.")
    def marked_method(self, q: Color) -> tuple[object, ...]:
        return self, q


class AsyncSearcher:
    async def __call__(self, q: str) -> str:
        return q


def test_bound_method_is_a_tool() -> None:
    searcher = Searcher()
    assert list(parameters_of(searcher.method)["properties"]) == ["q"]
    assert as_tool(searcher.method).function(q="red") == (searcher, Color.RED)


def test_class_and_static_methods_are_tools() -> None:
    assert as_tool(Searcher.of_class).function(q="red") == (Searcher, Color.RED)
    assert as_tool(Searcher.static).function(q="red") is Color.RED


def test_method_that_was_marked_in_its_class_is_a_tool_of_the_instance() -> None:
    searcher = Searcher()
    made = as_tool(searcher.marked_method)
    assert list(made.parameters["properties"]) == ["q"]
    assert (made.name, made.description) == ("marked", "Marked in the class.")
    assert made.function(q="red") == (searcher, Color.RED)


def test_callable_object_is_a_tool_named_after_its_class() -> None:
    searcher = Searcher()
    made = as_tool(searcher)
    assert (made.name, made.description) == ("Searcher", "Finds things.")
    assert parameters_of(searcher)["properties"]["limit"] == {"type": "integer", "default": 1}
    assert made.function(q="red") == (searcher, Color.RED, 1)


async def test_callable_object_with_an_async_call_is_an_async_tool() -> None:
    run = as_tool(AsyncSearcher()).function
    assert inspect.iscoroutinefunction(run)
    assert await run(q="x") == "x"


async def test_callable_object_with_a_given_schema_runs_too() -> None:
    made = as_tool(tool(parameters={"type": "object"})(AsyncSearcher()))
    assert inspect.iscoroutinefunction(made.function)
    assert await made.function(q="x") == "x"


def test_partial_has_the_name_and_the_remaining_parameters_of_its_function() -> None:
    def move(to: Point, speed: int = 1, *, how: str) -> tuple[object, ...]:
        """Moves there."""
        return to, speed, how

    made = as_tool(functools.partial(move, how="fast"))
    assert (made.name, made.description) == ("move", "Moves there.")
    assert made.parameters["required"] == ["to"]
    assert made.function(to={"x": 1}, speed=2) == (Point(1), 2, "fast")


def test_result_annotation_is_not_read() -> None:
    def price(of: str) -> Decimal:
        raise NotImplementedError

    assert list(parameters_of(price)["properties"]) == ["of"]


def test_decorated_function_runs_with_its_decorator() -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> list[Any]:
            return [function(*args, **kwargs), function(*args, **kwargs)]

        return run

    @twice
    @tool(name="paint")
    def inner(color: Color) -> Color:
        return color

    made = as_tool(inner)
    assert made.name == "paint"
    assert made.function(color="red") == [Color.RED, Color.RED]


# --- the decorator


def test_marked_function_stays_the_function_it_was() -> None:
    def search(q: Color) -> Color:
        return q

    assert tool(search) is search
    assert tool(name="other")(search) is search
    assert search(Color.RED) is Color.RED


def test_description_is_the_first_paragraph_on_one_line() -> None:
    @tool
    def search(q: str) -> None:
        """Search the web
        for pages.

        Args:
            q: what for.
        """

    assert as_tool(search).description == "Search the web for pages."
    assert as_tool(lambda: 1).description == ""


def test_decorator_passes_everything_on() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}

    @tool(name="find", description="Finds.", parameters=schema, max_parallel=2, timeout_s=3.0)
    def search(**given: Any) -> Any:
        return given

    made = as_tool(search)
    assert (made.name, made.description, made.parameters) == ("find", "Finds.", schema)
    assert (made.max_parallel, made.timeout_s) == (2, 3.0)
    assert made.function is search


def test_ready_tool_is_taken_as_it_is() -> None:
    ready = Tool(name="ready", function=len)
    assert as_tool(ready) is ready


# --- what has no schema


def starred(*args: int) -> None: ...
def double_starred(**kwargs: int) -> None: ...
def positional(x: int, /) -> None: ...
def custom(x: NotJSON) -> None: ...
def nested(x: list[NotJSON]) -> None: ...
def unknown(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def two_objects(x: Point | Node) -> None: ...


@pytest.mark.parametrize(
    ("function", "problem", "cure"),
    [
        (starred, "parameter '*args' cannot be passed by name", "give explicit parameters"),
        (
            double_starred,
            "parameter '**kwargs' cannot be passed by name",
            "give explicit parameters",
        ),
        (positional, "parameter 'x' cannot be passed by name", "give explicit parameters"),
        (custom, "custom types", "Annotate parameters with JSON types, or pass parameters=..."),
        (nested, "NotJSON", "Annotate parameters with JSON types, or pass parameters=..."),
        (
            unknown,
            "name 'Nowhere' is not defined",
            "Import what they name at run time, or pass parameters=...",
        ),
        (two_objects, "", "Annotate parameters with JSON types, or pass parameters=..."),
        (dict, "its annotations cannot be read", "pass parameters=..."),
    ],
)
def test_function_without_a_schema_is_refused_with_the_cure(
    function: Callable[..., Any], problem: str, cure: str
) -> None:
    with pytest.raises(InvalidToolSchema) as error:
        tool(function)
    assert error.value.tool == function.__name__
    assert problem in str(error.value)
    assert cure in str(error.value)
    assert "\n" not in str(error.value)


def test_given_schema_needs_no_annotations() -> None:
    assert as_tool(tool(parameters={"type": "object"})(unknown)).parameters == {"type": "object"}
    del unknown.__agentkernel_tool__  # type: ignore[attr-defined]


# --- any combination of types

SMALL = 2**53 - 1
"""Beyond it a float is no exact integer."""

Strategy = st.SearchStrategy[Any]


def whole() -> Strategy:
    return st.integers(-SMALL, SMALL) | st.integers(-SMALL, SMALL).map(float)


LEAVES: list[tuple[Any, Strategy]] = [
    (str, st.text()),
    (int, whole()),
    (float, st.floats(allow_nan=False, allow_infinity=False) | st.integers(-SMALL, SMALL)),
    (bool, st.booleans()),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Color, st.sampled_from(["red", "blue"])),
    (Percent, st.integers(0, 100)),
    (Point, st.fixed_dictionaries({"x": whole()}, optional={"y": whole(), "more": st.text()})),
    (Options, st.fixed_dictionaries({}, optional={"depth": whole()})),
    (
        Node,
        st.fixed_dictionaries(
            {"name": st.text()}, optional={"children": st.just([{"name": "leaf"}])}
        ),
    ),
    (Any, st.none() | st.text()),
]


def containers(
    inner: st.SearchStrategy[tuple[Any, Strategy]],
) -> st.SearchStrategy[tuple[Any, Strategy]]:
    return st.one_of(
        inner.map(lambda pair: (list[pair[0]], st.lists(pair[1], max_size=3))),  # type: ignore[name-defined]
        inner.map(
            lambda pair: (dict[str, pair[0]], st.dictionaries(st.text(), pair[1], max_size=3))
        ),  # type: ignore[name-defined]
        inner.map(lambda pair: (Optional[pair[0]], st.none() | pair[1])),  # noqa: UP045
        st.tuples(inner, inner).map(
            lambda pairs: (
                tuple[pairs[0][0], pairs[1][0]],
                st.tuples(pairs[0][1], pairs[1][1]).map(list),
            )  # type: ignore[name-defined]
        ),
    )


TYPES = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=4)
JSON: Strategy = st.recursive(
    st.none() | st.booleans() | whole() | st.text() | st.sampled_from(["a", "red", 1.5]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "y", "name", "depth"]), inner)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "class_", "name", "self", "x_1"])
CHECKED = settings(deadline=None, derandomize=True, database=None)


@CHECKED
@given(st.dictionaries(NAMES, TYPES, max_size=4), st.data())
def test_valid_arguments_validate_and_are_accepted(
    types: dict[str, tuple[Any, Strategy]], data: st.DataObject
) -> None:
    made = as_tool(taking({name: hint for name, (hint, _) in types.items()}))
    jsonschema_rs.meta.validate(made.parameters)
    arguments = {name: data.draw(strategy, name) for name, (_, strategy) in types.items()}
    assert jsonschema_rs.validator_for(made.parameters).is_valid(arguments)
    arrived = made.function(**arguments)
    assert arrived.keys() == types.keys()
    for name, (hint, _) in types.items():
        if (
            isinstance(hint, type)
            and typing.get_origin(hint) is None
            and not typing.is_typeddict(hint)
        ):
            assert type(arrived[name]) is hint


@CHECKED
@given(TYPES, JSON)
def test_whatever_validates_is_accepted(kind: tuple[Any, Strategy], argument: Any) -> None:
    made = as_tool(taking({"x": kind[0]}))
    if jsonschema_rs.validator_for(made.parameters).is_valid({"x": argument}):
        made.function(x=argument)


@CHECKED
@given(TYPES, st.data())
def test_argument_that_is_left_out_is_not_passed(
    kind: tuple[Any, Strategy], data: st.DataObject
) -> None:
    made = as_tool(taking({"x": kind[0]}, {"x": NOT_SET}))
    assert made.parameters["required"] == []
    assert made.function() == {}
