"""The clients, sync and async alike: what reaches the core, and what comes back."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

from agentkernel import AsyncClient, Client, Kernel, session
from agentkernel.api import (
    CallContext,
    CoreCapabilities,
    CoreConnectionError,
    Emit,
    InvalidMessages,
    InvalidOutput,
    InvalidToolArguments,
    InvalidToolSchema,
    KernelNotStarted,
    KernelStopped,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMResponse,
    NoCoreForCall,
    SyscallCancelled,
    SyscallTimeout,
    Tool,
    ToolCall,
    ToolFailed,
    ToolNotFound,
    ToolRequest,
    hookimpl,
)
from agentkernel.sdk import ToolResult, tool, use_kernel
from agentkernel.testing import FakeCore, Fault

PATIENCE_S = 30.0
HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Caller:
    """Calls the same methods of either client; streams come as lists."""

    def __init__(
        self, kind: type[Client | AsyncClient], kernel: Kernel | None = None, **defaults: Any
    ) -> None:
        self.client = kind(kernel, **defaults)

    async def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        result = getattr(self.client, method)(*args, **options)
        if inspect.isasyncgen(result):
            return [item async for item in result]
        if isinstance(result, Iterator):
            return list(result)
        return await result if inspect.isawaitable(result) else result


@pytest.fixture(params=[Client, AsyncClient])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def call(kind: Any, kernel: Kernel) -> Caller:
    """A client of the kernel with the core ``fake_core``."""
    return Caller(kind, kernel)


@pytest.fixture
def scripted(kind: Any) -> Iterator[Callable[..., tuple[Caller, FakeCore]]]:
    """A client of a kernel of its own, whose core follows a script."""
    kernels = []

    def make(script: Any, **defaults: Any) -> tuple[Caller, FakeCore]:
        core = FakeCore(script)
        kernels.append(Kernel({}).start())
        kernels[-1].add_core("fake", core)
        return Caller(kind, kernels[-1], **defaults), core

    yield make
    for kernel in kernels:
        kernel.stop()


def asks_for(*requests: tuple[str, str]) -> LLMResponse:
    """An answer that asks for tools."""
    calls = tuple(
        ToolRequest(id=f"call-{number}", name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(requests)
    )
    return LLMResponse(tool_calls=calls, finish_reason="tool_calls")


def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def shape(client: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(client, inspect.isfunction)
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in methods
            if name[0] != "_"
        }

    assert shape(Client) == shape(AsyncClient)


# --- llm_chat


async def test_chat_returns_the_answer(call: Caller) -> None:
    response = await call("llm_chat", HELLO)
    assert isinstance(response, LLMResponse)
    assert response.text == "ok"


async def test_options_of_the_kernel_are_fields_and_all_others_go_to_the_provider(
    call: Caller, fake_core: FakeCore
) -> None:
    schemas = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    await call(
        "llm_chat",
        HELLO,
        model="m",
        core="fake",
        tools=schemas,
        timeout_s=9.0,
        max_retries=4,
        temperature=0.5,
        top_p=1,
    )
    (seen,) = fake_core.calls
    assert (seen.messages, seen.model, seen.core, seen.tools) == (HELLO, "m", "fake", schemas)
    assert (seen.timeout_s, seen.max_retries, seen.stream) == (9.0, 4, False)
    assert seen.params == {"temperature": 0.5, "top_p": 1}


async def test_without_options_the_call_leaves_them_to_the_kernel(
    call: Caller, fake_core: FakeCore
) -> None:
    await call("llm_chat", HELLO)
    (seen,) = fake_core.calls
    assert seen == LLMCall(messages=HELLO)


async def test_defaults_of_the_client_count_where_the_call_says_nothing(
    kind: Any, kernel: Kernel, fake_core: FakeCore
) -> None:
    call = Caller(kind, kernel, agent="coder", model="m", core="fake", timeout_s=9.0)
    await call("llm_chat", HELLO)
    await call("llm_chat", HELLO, model="other", timeout_s=3.0)
    first, second = fake_core.calls
    assert (first.context.agent, first.model, first.core, first.timeout_s) == (
        "coder",
        "m",
        "fake",
        9.0,
    )
    assert (second.context.agent, second.model, second.core, second.timeout_s) == (
        "coder",
        "other",
        "fake",
        3.0,
    )


async def test_failure_of_the_core_is_raised(scripted: Any) -> None:
    call, core = scripted([CoreConnectionError("gone"), "ok"])
    with pytest.raises(CoreConnectionError, match="gone"):
        await call("llm_chat", HELLO, max_retries=0)
    assert (await call("llm_chat", HELLO)).text == "ok"
    assert len(core.calls) == 2


async def test_call_that_takes_too_long_times_out(scripted: Any) -> None:
    call, _ = scripted(Fault.HANG, timeout_s=0.05)
    with pytest.raises(SyscallTimeout, match=r"within 0\.05 s"):
        await call("llm_chat", HELLO)
    with pytest.raises(SyscallTimeout, match=r"within 0\.01 s"):
        await call("llm_chat", HELLO, timeout_s=0.01)


async def test_core_that_is_not_there_is_an_error_that_names_those_that_are(call: Caller) -> None:
    with pytest.raises(NoCoreForCall, match="Cores in the pool: fake"):
        await call("llm_chat", HELLO, core="other")


# --- streams


async def test_stream_gives_the_text_as_it_comes(scripted: Any) -> None:
    call, core = scripted("one two three")
    chunks = await call("llm_chat_stream", HELLO, temperature=0.5)
    assert "".join(chunks) == "one two three"
    assert len(chunks) > 1
    assert core.calls[0].stream
    assert core.calls[0].params == {"temperature": 0.5}


class Endless(LLMCore):
    """Streams a word, an empty chunk and another word, and then nothing until it is cancelled."""

    def __init__(self) -> None:
        self.started, self.cancelled = threading.Event(), threading.Event()

    @property
    def capabilities(self) -> CoreCapabilities:
        return CoreCapabilities(shared=False)

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert emit is not None
        self.started.set()
        for text in ("one", "", "two"):
            emit(LLMChunk(text))
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()
        raise AssertionError


@pytest.fixture
def endless(kernel: Kernel) -> Endless:
    core = Endless()
    kernel.add_core("endless", core)
    return core


async def test_a_core_that_cannot_stream_gives_its_whole_text_at_once(
    kernel: Kernel, call: Any
) -> None:
    kernel.add_core("whole", FakeCore("all of it", can_stream=False))
    assert await call("llm_chat_stream", HELLO, core="whole") == ["all of it"]


def test_leaving_a_stream_early_cancels_the_call(kernel: Kernel, endless: Endless) -> None:
    seen = []
    for text in Client(kernel, core="endless").llm_chat_stream(HELLO):
        seen.append(text)
        if len(seen) == 2:
            break
    assert seen == ["one", "two"]  # empty chunks are left out
    assert endless.cancelled.wait(PATIENCE_S)


async def test_leaving_an_async_stream_early_cancels_the_call(
    kernel: Kernel, endless: Endless
) -> None:
    async for text in AsyncClient(kernel, core="endless").llm_chat_stream(HELLO):
        assert text == "one"
        break
    assert await asyncio.to_thread(endless.cancelled.wait, PATIENCE_S)


async def test_closing_an_async_stream_cancels_the_call_before_it_returns(
    kernel: Kernel, endless: Endless
) -> None:
    finished = threading.Event()

    class Hooks:
        @hookimpl
        def syscall_finished(self, call: LLMCall) -> None:
            finished.set()

    kernel.add_hooks(Hooks())
    stream = AsyncClient(kernel, core="endless").llm_chat_stream(HELLO)
    async with aclosing(stream) as texts:  # type: ignore[type-var]
        assert await anext(texts) == "one"
    assert finished.wait(PATIENCE_S)


async def test_cancelling_the_task_that_reads_a_stream_cancels_the_call(
    kernel: Kernel, endless: Endless
) -> None:
    async def read() -> None:
        async for text in AsyncClient(kernel, core="endless").llm_chat_stream(HELLO):
            if text == "two":
                reader.cancel()

    reader = asyncio.create_task(read())
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await asyncio.to_thread(endless.cancelled.wait, PATIENCE_S)


async def test_stream_that_fails_raises_at_its_end(scripted: Any) -> None:
    call, _ = scripted(CoreConnectionError("gone"))
    with pytest.raises(CoreConnectionError, match="gone"):
        await call("llm_chat_stream", HELLO, max_retries=0)


# --- JSON output


async def test_json_output_is_decoded_and_its_schema_is_asked_for(scripted: Any) -> None:
    call, core = scripted('{"n": 5}')
    assert await call("llm_chat_with_json_output", HELLO, SCHEMA, model="m") == {"n": 5}
    assert core.calls[0].params == {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "output", "schema": SCHEMA, "strict": True},
        }
    }
    assert core.calls[0].model == "m"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Weather", "Weather"),
        ("The weather, today!", "The_weather_today_"),
        ("", "output"),
        ("x" * 99, "x" * 64),
    ],
)
async def test_title_of_the_schema_becomes_a_name_that_providers_take(
    scripted: Any, title: str, name: str
) -> None:
    call, core = scripted('{"n": 5}')
    await call("llm_chat_with_json_output", HELLO, {**SCHEMA, "title": title})
    assert core.calls[0].params["response_format"]["json_schema"]["name"] == name


@pytest.mark.parametrize(
    ("answer", "expected", "problem"),
    [
        ("It is five.", "JSON", "malformed"),
        ("", "JSON", "truncated"),
        ('{"n": 5', "JSON", "truncated"),
        ('{"n": "five"}', "of the JSON schema", "integer"),
        ("[]", "of the JSON schema", "object"),
        ("{}", "of the JSON schema", "required"),
    ],
)
async def test_answer_that_is_no_such_json_is_invalid_output(
    scripted: Any, answer: str, expected: str, problem: str
) -> None:
    call, _ = scripted(answer)
    with pytest.raises(InvalidOutput, match=f"not {expected}: .*{problem}") as error:
        await call("llm_chat_with_json_output", HELLO, SCHEMA)
    assert (error.value.text, error.value.expected) == (answer, expected)


async def test_answer_without_text_is_invalid_output(scripted: Any) -> None:
    call, _ = scripted(LLMResponse(text=None))
    with pytest.raises(InvalidOutput):
        await call("llm_chat_with_json_output", HELLO, SCHEMA)


@pytest.mark.parametrize("schema", [{"type": "no type"}, {"properties": 5}, "a schema", None, 5])
async def test_output_schema_that_is_none_is_refused_before_the_core_is_asked(
    call: Caller, fake_core: FakeCore, schema: Any
) -> None:
    with pytest.raises(InvalidToolSchema):
        await call("llm_chat_with_json_output", HELLO, schema)
    assert fake_core.calls == []


# --- tool calls


async def test_registered_tools_are_offered_and_what_the_model_asks_for_is_not_run(
    scripted: Any,
) -> None:
    call, core = scripted(asks_for(("add", '{"a": 1}')))
    made = call.client.add_tool(add)
    call.client.add_tool(tool(name="never")(lambda: pytest.fail("it ran")))
    (request,) = await call("llm_chat_with_tool_call_output", HELLO)
    assert (request.id, request.name, request.arguments) == ("call-0", "add", '{"a": 1}')
    assert [offered["function"]["name"] for offered in core.calls[0].tools] == ["add", "never"]
    assert core.calls[0].tools[0] == made.schema


async def test_tools_are_offered_by_name_or_as_schemas(scripted: Any) -> None:
    call, core = scripted(asks_for(("add", "{}")))
    made = call.client.add_tool(add)
    schema = {"type": "function", "function": {"name": "elsewhere", "parameters": SCHEMA}}
    await call("llm_chat_with_tool_call_output", HELLO, ["add", schema])
    assert core.calls[0].tools == [made.schema, schema]


async def test_tool_that_is_not_registered_cannot_be_offered(
    call: Caller, fake_core: FakeCore
) -> None:
    call.client.add_tool(add)
    with pytest.raises(ToolNotFound, match="Did you mean 'add'") as error:
        await call("llm_chat_with_tool_call_output", HELLO, ["ad"])
    assert (error.value.tool, error.value.registered, error.value.suggestion) == (
        "ad",
        ("add",),
        "add",
    )
    assert fake_core.calls == []


@pytest.mark.parametrize("method", ["llm_chat_with_tool_call_output", "llm_call_tool"])
async def test_answer_that_asks_for_no_tool_is_invalid_output(scripted: Any, method: str) -> None:
    call, _ = scripted("I would rather not.")
    call.client.add_tool(add)
    with pytest.raises(InvalidOutput, match="not a tool call: it asks for no tool") as error:
        await call(method, HELLO)
    assert error.value.text == "I would rather not."


async def test_tools_that_the_model_chose_are_run_and_their_values_returned_in_order(
    scripted: Any,
) -> None:
    call, _ = scripted(
        asks_for(("add", '{"a": 1, "b": 2}'), ("shout", '{"text": "x"}'), ("add", '{"a": 5.0}'))
    )
    call.client.add_tool(add)

    async def shout(text: str) -> str:
        return text.upper()

    call.client.add_tool(shout)
    results = await call("llm_call_tool", HELLO)
    assert all(isinstance(result, ToolResult) for result in results)
    assert [(result.request.id, result.value) for result in results] == [
        ("call-0", 3),
        ("call-1", "X"),
        ("call-2", 6),
    ]


async def test_empty_arguments_are_those_of_a_tool_without_parameters(scripted: Any) -> None:
    call, _ = scripted(asks_for(("ping", "")))
    call.client.add_tool(tool(name="ping")(lambda: "pong"))
    (result,) = await call("llm_call_tool", HELLO)
    assert result.value == "pong"


@pytest.mark.parametrize(
    ("arguments", "problem"), [("{", "truncated"), ("[1]", "no object"), ("5", "no object")]
)
async def test_arguments_that_are_no_json_object_are_invalid_output_and_no_tool_is_run(
    scripted: Any, arguments: str, problem: str
) -> None:
    call, _ = scripted(asks_for(("first", "{}"), ("second", arguments)))
    for name in ("first", "second"):
        call.client.add_tool(tool(name=name)(lambda: pytest.fail("it ran")))
    with pytest.raises(InvalidOutput, match=f"not JSON arguments: .*{problem}") as error:
        await call("llm_call_tool", HELLO)
    assert error.value.text == arguments


async def test_arguments_that_the_schema_refuses_are_an_error(scripted: Any) -> None:
    call, _ = scripted(asks_for(("add", '{"a": "one"}')))
    call.client.add_tool(add)
    with pytest.raises(InvalidToolArguments, match="a: "):
        await call("llm_call_tool", HELLO)


async def test_tool_that_the_model_made_up_is_an_error(scripted: Any) -> None:
    call, _ = scripted(asks_for(("subtract", "{}")))
    call.client.add_tool(add)
    with pytest.raises(ToolNotFound, match="'subtract'"):
        await call("llm_call_tool", HELLO)


def hanging() -> tuple[Tool, threading.Event, threading.Event]:
    """A tool that runs until it is cancelled, and the events of its start and its end."""
    started, ended = threading.Event(), threading.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    return Tool(name="hang", function=hang), started, ended


async def test_failing_tool_cancels_those_that_still_run(scripted: Any) -> None:
    call, _ = scripted(asks_for(("fail", "{}"), ("hang", "{}")))
    hang, started, ended = hanging()
    call.client.add_tool(hang)

    def fail() -> None:
        assert started.wait(PATIENCE_S)
        raise ZeroDivisionError("mine")

    call.client.add_tool(fail)
    with pytest.raises(ToolFailed, match="ZeroDivisionError: mine"):
        await call("llm_call_tool", HELLO)
    assert await asyncio.to_thread(ended.wait, PATIENCE_S)


async def test_cancelling_the_task_cancels_all_the_tools_it_waits_for(kernel: Kernel) -> None:
    kernel.add_core("asking", FakeCore(asks_for(("hang", "{}"), ("hang_too", "{}"))))
    events = []
    client = AsyncClient(kernel, core="asking")
    for name in ("hang", "hang_too"):
        made, started, ended = hanging()
        client.add_tool(Tool(name=name, function=made.function))
        events.append((started, ended))
    task = asyncio.create_task(client.llm_call_tool(HELLO))
    for started, _ in events:
        assert await asyncio.to_thread(started.wait, PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _, ended in events:
        assert await asyncio.to_thread(ended.wait, PATIENCE_S)


async def test_cancelling_the_task_cancels_the_llm_call(kernel: Kernel, endless: Endless) -> None:
    task = asyncio.create_task(AsyncClient(kernel, core="endless").llm_chat(HELLO, stream=True))
    assert await asyncio.to_thread(endless.started.wait, PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(endless.cancelled.wait, PATIENCE_S)


# --- call_tool


async def test_registered_tool_is_run(call: Caller) -> None:
    made = call.client.add_tool(add)
    assert made.name == "add"
    assert await call("call_tool", "add", {"a": 1}) == 2
    assert await call("call_tool", "add", {"a": 1, "b": 5}) == 6


async def test_tool_without_arguments_needs_none(call: Caller) -> None:
    call.client.add_tool(tool(name="ping")(lambda: "pong"))
    assert await call("call_tool", "ping") == "pong"


async def test_ready_tool_can_be_added(call: Caller, kernel: Kernel) -> None:
    ready = Tool(name="ready", function=lambda: 1)
    assert call.client.add_tool(ready) is ready
    assert kernel.tools == [ready]


async def test_unknown_tool_is_an_error_with_the_name_that_was_meant(call: Caller) -> None:
    call.client.add_tool(add)
    with pytest.raises(ToolNotFound, match="Did you mean 'add'"):
        await call("call_tool", "addd")


async def test_wrong_arguments_are_an_error_and_the_tool_is_not_run(call: Caller) -> None:
    def never(a: int) -> None:
        pytest.fail("it ran")

    call.client.add_tool(never)
    with pytest.raises(InvalidToolArguments, match="tool 'never' was not run"):
        await call("call_tool", "never", {"a": "x", "c": 1})
    with pytest.raises(InvalidToolArguments):
        await call("call_tool", "never")


async def test_error_of_the_tool_is_the_cause(call: Caller) -> None:
    call.client.add_tool(tool(name="divide")(lambda: 1 / 0))
    with pytest.raises(ToolFailed, match="ZeroDivisionError") as error:
        await call("call_tool", "divide")
    assert isinstance(error.value.__cause__, ZeroDivisionError)


async def test_tool_that_hangs_times_out(call: Caller) -> None:
    hang, _, ended = hanging()
    call.client.add_tool(hang)
    with pytest.raises(SyscallTimeout):
        await call("call_tool", "hang", timeout_s=0.05)
    assert await asyncio.to_thread(ended.wait, PATIENCE_S)


async def test_tool_whose_parameters_have_no_schema_is_not_added(
    call: Caller, kernel: Kernel
) -> None:
    def bad(*args: int) -> None: ...

    with pytest.raises(InvalidToolSchema, match=r"parameter '\*args'"):
        call.client.add_tool(bad)
    assert kernel.tools == []


async def test_tool_with_a_name_that_no_provider_takes_is_not_added(call: Caller) -> None:
    with pytest.raises(InvalidToolSchema, match="its name must be"):
        call.client.add_tool(lambda: 1)


# --- submit


def test_call_made_by_hand_gives_a_ticket(kernel: Kernel) -> None:
    client = Client(kernel)
    client.add_tool(add)
    assert client.submit(LLMCall(messages=HELLO)).result(PATIENCE_S).text == "ok"
    assert client.submit(ToolCall(name="add", arguments={"a": 1})).result(PATIENCE_S) == 2


async def test_ticket_can_be_awaited_and_cancelled(kernel: Kernel, endless: Endless) -> None:
    client = AsyncClient(kernel)
    assert (await client.submit(LLMCall(messages=HELLO))).text == "ok"
    ticket = client.submit(LLMCall(messages=HELLO, core="endless", stream=True))
    ticket.cancel()
    with pytest.raises(SyscallCancelled):
        await ticket


# --- bad input


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        (None, "messages"),
        ("hello", "messages"),
        ({"role": "user", "content": "hello"}, "messages"),
        ([], "messages"),
        (["hello"], r"messages\[0\]"),
        ([*HELLO, {"content": "no role"}], r"messages\[1\]"),
        ([{"role": 1, "content": "x"}], r"messages\[0\]"),
    ],
)
@pytest.mark.parametrize("method", ["llm_chat", "llm_chat_stream", "llm_call_tool"])
async def test_messages_that_are_none_are_refused_and_the_core_is_not_asked(
    call: Caller, fake_core: FakeCore, method: str, messages: Any, where: str
) -> None:
    with pytest.raises(
        InvalidMessages, match=rf"^{where}: expected .* such as \[\{{'role': 'user'"
    ):
        await call(method, messages)
    assert fake_core.calls == []


@pytest.mark.parametrize(
    "schema",
    [
        5,
        {"name": "f"},
        {"type": "function"},
        {"type": "function", "function": {"parameters": SCHEMA}},
        {"type": "function", "function": {"name": "f", "parameters": {"type": "no type"}}},
        {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}},
        {
            "type": "function",
            "function": {"name": "f", "parameters": {"properties": {"x": {"$ref": "#/$defs/y"}}}},
        },
    ],
)
@pytest.mark.parametrize("method", ["llm_chat", "llm_chat_with_tool_call_output", "llm_call_tool"])
async def test_tool_schema_that_is_none_is_refused_and_the_core_is_not_asked(
    call: Caller, fake_core: FakeCore, method: str, schema: Any
) -> None:
    with pytest.raises(InvalidToolSchema):
        await call(method, HELLO, tools=[schema])
    assert fake_core.calls == []


# --- kernels


def test_without_a_kernel_no_client_is_made(kind: Any) -> None:
    with pytest.raises(KernelNotStarted, match=r"kernel\.start\(\)"):
        kind()


async def test_client_takes_the_kernel_of_the_process(kind: Any, kernel: Kernel) -> None:
    use_kernel(kernel)
    assert (await Caller(kind)("llm_chat", HELLO)).text == "ok"


async def test_kernel_that_was_not_started_takes_no_calls(kind: Any) -> None:
    call = Caller(kind, Kernel({}))
    for method, argument in (("llm_chat", HELLO), ("llm_chat_stream", HELLO), ("call_tool", "add")):
        with pytest.raises(KernelNotStarted):
            await call(method, argument)


async def test_stopped_kernel_takes_no_calls(kind: Any) -> None:
    kernel = Kernel({}).start()
    call = Caller(kind, kernel)
    kernel.stop()
    for method, argument in (("llm_chat", HELLO), ("llm_chat_stream", HELLO), ("call_tool", "add")):
        with pytest.raises(KernelStopped):
            await call(method, argument)


async def test_clients_of_two_kernels_share_nothing(scripted: Any) -> None:
    (one, first), (two, second) = scripted("one"), scripted("two")
    one.client.add_tool(add)
    assert (await one("llm_chat", HELLO)).text == "one"
    assert (await two("llm_chat", HELLO)).text == "two"
    assert (len(first.calls), len(second.calls)) == (1, 1)
    with pytest.raises(ToolNotFound, match="Registered: none"):
        await two("call_tool", "add", {"a": 1})


# --- contexts


async def test_calls_carry_the_context_of_the_session(call: Caller, fake_core: FakeCore) -> None:
    with session("coder", tenant="red", priority=2) as context:
        await call("llm_chat", HELLO)
    await call("llm_chat", HELLO)
    assert [seen.context for seen in fake_core.calls] == [context, CallContext()]


async def test_agent_of_the_client_wins_over_that_of_the_session_and_stays_in_its_program(
    kind: Any, kernel: Kernel, fake_core: FakeCore
) -> None:
    call = Caller(kind, kernel, agent="critic")
    with session("coder", tenant="red", priority=2) as context:
        await call("llm_chat", HELLO)
    seen = fake_core.calls[0].context
    assert (seen.agent, seen.tenant, seen.priority, seen.program) == (
        "critic",
        "red",
        2,
        context.program,
    )


async def test_calls_that_a_tool_makes_have_it_as_parent(
    call: Caller, kernel: Kernel, fake_core: FakeCore
) -> None:
    def ask() -> None:
        Client(kernel).llm_chat(HELLO)

    async def ask_later() -> None:
        await AsyncClient(kernel).llm_chat(HELLO)

    call.client.add_tool(ask)
    call.client.add_tool(ask_later)
    with session("coder") as context:
        await call("call_tool", "ask")
        await call("call_tool", "ask_later")
    for seen in fake_core.calls:
        assert (seen.context.agent, seen.context.program) == ("coder", context.program)
        assert seen.context.parent is not None
    assert len({seen.context.parent for seen in fake_core.calls}) == 2


# --- many at once


def echoing(call: LLMCall) -> str:
    return f"{call.context.agent}: {call.messages[0]['content']}"


def asking(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_one_client_serves_many_threads(kernel: Kernel) -> None:
    kernel.add_core("echo", FakeCore(echoing))
    client = Client(kernel, core="echo")
    client.add_tool(add)

    def work(number: int) -> None:
        with session(f"agent-{number}"):
            for turn in range(10):
                text = client.llm_chat(asking(f"{turn}")).text
                assert text == f"agent-{number}: {turn}"
                assert client.call_tool("add", {"a": number, "b": turn}) == number + turn
                assert "".join(client.llm_chat_stream(asking("s"))) == f"agent-{number}: s"

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(16)))


def test_one_async_client_serves_many_loops_and_tasks(kernel: Kernel) -> None:
    kernel.add_core("echo", FakeCore(echoing))
    client = AsyncClient(kernel, core="echo")

    async def work(number: int) -> None:
        with session(f"agent-{number}"):
            for turn in range(5):
                assert (await client.llm_chat(asking(f"{turn}"))).text == f"agent-{number}: {turn}"
                chunks = [chunk async for chunk in client.llm_chat_stream(asking("s"))]
                assert "".join(chunks) == f"agent-{number}: s"

    async def several(first: int) -> None:
        await asyncio.gather(*(work(first + number) for number in range(8)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda loop: asyncio.run(several(8 * loop)), range(4)))
    assert kernel.stats().llm_calls == 4 * 8 * 10


def test_sync_and_async_clients_share_a_kernel(kernel: Kernel, fake_core: FakeCore) -> None:
    async def ask() -> None:
        await asyncio.gather(*(AsyncClient(kernel).llm_chat(HELLO) for _ in range(10)))

    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(lambda: [Client(kernel).llm_chat(HELLO) for _ in range(10)])
        threads.submit(asyncio.run, ask()).result(PATIENCE_S)
        waiting.result(PATIENCE_S)
    assert len(fake_core.calls) == 20
