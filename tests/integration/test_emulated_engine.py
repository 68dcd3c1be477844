"""The servers of `benchmarks/schedule_engine.py` take the time of simulated ones and speak OpenAI's API."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import types
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from agentkernel.simulation import Clock, Hardware, Program, Step, alone_s, capacity

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
engine = importlib.import_module("_emulated_engine")
server = importlib.import_module("_emulated_server")
agents = importlib.import_module("_engine_agents")
clients = importlib.import_module("_engine_clients")
ways = importlib.import_module("_engine_ways")

HARDWARE = Hardware(
    slots=2, cache_tokens=1_000, prefill_tokens_per_s=100.0, step_s=0.1, step_s_per_call=0.0
)


class Time:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def body(*contents: str, **more: object) -> bytes:
    """A chat request; every second message is an answer."""
    messages = [
        {"role": "assistant" if place % 2 else "user", "content": content}
        for place, content in enumerate(contents)
    ]
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


def chat(*contents: str, output_tokens: int = 10, done: Callable[[], object] | None = None) -> Any:
    found = engine.read_chat(body(*contents, max_tokens=output_tokens), window_tokens=500)
    if done is not None:
        found.done = done
    return found


def words(tokens: int, label: str = "") -> str:
    return agents.text(tokens, label)


def times_of(*chats: Any, hardware: Hardware = HARDWARE) -> list[float]:
    """When each of the chats ends that come all at once."""
    clock, ends = Clock(), [0.0] * len(chats)
    core = engine.EmulatedCore(clock, hardware)

    def ended(place: int) -> None:
        ends[place] = clock.now

    for place, each in enumerate(chats):
        each.done = lambda place=place: ended(place)
        core.submit(each)
    clock.run()
    return ends


def test_a_token_is_four_characters_and_what_follows_the_last_answer_is_new() -> None:
    found = chat(words(100), words(10), words(25), output_tokens=7)
    assert (found.prompt_tokens, found.new_tokens, found.output_tokens) == (135, 25, 7)


def test_what_was_before_is_cut_to_the_window() -> None:
    found = chat(words(600), words(10), words(25))
    assert (found.prompt_tokens, found.new_tokens) == (525, 25)


def test_a_conversation_is_told_by_its_opening() -> None:
    opening, other = words(20, "one "), words(20, "two ")
    first = chat(opening).conversation
    assert chat(opening, words(5), words(5)).conversation == first
    assert chat(opening, words(9), words(3), words(2), words(1)).conversation == first
    assert chat(other).conversation != first


def test_prefill_and_decoding_take_the_hardware_s_time() -> None:
    (end,) = times_of(chat(words(200), output_tokens=10))
    assert end == pytest.approx(200 / 100 + 10 * 0.1)


def test_a_call_beyond_the_slots_waits_for_one_that_ends() -> None:
    calls = [chat(words(100, label), output_tokens=20) for label in ("one ", "two ", "tri ")]
    calls[0].output_tokens = 10
    # Two prefills of 1 s, and 1 s until the first ends; then the third one's prefill stops the second.
    assert times_of(*calls) == pytest.approx([3.0, 5.0, 6.0])


def test_what_is_cached_of_a_conversation_is_not_prefilled_again() -> None:
    clock = Clock()
    core = engine.EmulatedCore(clock, HARDWARE)
    for each in (chat(words(200)), then := chat(words(200), words(10), words(50))):
        core.submit(each)
        clock.run()
    assert then.cached_tokens == 210
    assert (core.prefilled, core.prefilled_again) == (250, 0)


def test_the_context_used_least_recently_is_evicted_first() -> None:
    clock = Clock()
    core = engine.EmulatedCore(clock, HARDWARE)
    cached = {}
    for label in ("one ", "two ", "one ", "tri ", "one ", "two "):
        core.submit(again := chat(words(400, label), output_tokens=10))
        clock.run()
        cached[label] = again.cached_tokens
    assert cached == {"one ": 399, "two ": 0, "tri ": 0}


def test_a_call_says_when_its_prefill_is_done_and_how_far_it_is() -> None:
    clock, seen = Clock(), []
    core = engine.EmulatedCore(clock, HARDWARE)
    core.submit(chat(words(100, "before ")))  # ends at 2 s
    clock.run()
    call = chat(words(200), output_tokens=10)
    call.began = lambda: seen.append(clock.now)
    core.submit(call)
    clock.at(4.45, lambda: seen.append(core.decoded(call)))
    clock.run()
    assert seen == [pytest.approx(4.0), 4]


async def test_an_event_with_a_late_timer_happens_at_its_own_time() -> None:
    real, seen = Time(), []
    clock = engine.RealClock(asyncio.get_running_loop(), 10.0, real)
    clock.at(5.0, lambda: seen.append(clock.now) or clock.at(6.0, lambda: seen.append(clock.now)))
    real.now_s = 0.7
    clock.catch_up()
    assert seen == [5.0, 6.0] and clock.now == pytest.approx(7.0)
    assert clock.late_s == pytest.approx([0.2, 0.1])


async def test_a_timer_lets_events_happen_without_being_asked() -> None:
    happened = asyncio.Event()
    clock = engine.RealClock(asyncio.get_running_loop(), 1_000.0)
    clock.at(1.0, happened.set)
    await asyncio.wait_for(happened.wait(), 10)


class Served:
    """An engine behind a socket; its time stands still until :meth:`pass_s`."""

    def __init__(self, **options: Any) -> None:
        self.time = Time()
        self.clock = engine.RealClock(asyncio.get_running_loop(), 1.0, self.time)
        self.http: Any = None  # the fixture's
        self.engine = server.Engine(self.clock, server.EngineOptions(hardware=HARDWARE, **options))
        self._submitted = asyncio.Event()
        submit = self.engine.core.submit
        self.engine.core.submit = lambda call: (submit(call), self._submitted.set())

    async def ask(self, data: bytes) -> Any:
        return await self.http.post("/v1/chat/completions", data=data)

    async def begin(self, data: bytes) -> asyncio.Task[Any]:
        """A request that the engine has got."""
        self._submitted.clear()
        task = asyncio.create_task(self.ask(data))
        await asyncio.wait_for(self._submitted.wait(), 10)
        return task

    def pass_s(self, seconds: float) -> None:
        self.time.now_s += seconds
        self.clock.catch_up()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    opened: list[TestClient[Any, Any]] = []

    async def start(**options: Any) -> Served:
        served = Served(**options)
        served.http = TestClient(TestServer(served.engine.app()))
        opened.append(served.http)
        await served.http.start_server()
        return served

    yield start
    for client in opened:
        await client.close()


async def test_an_answer_has_the_tokens_that_were_asked_for_and_counts_them(serve: Any) -> None:
    served = await serve()
    asked = await served.begin(body(words(100), max_tokens=5))
    served.pass_s(10)
    answer = await (await asked).json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": words(5)}
    assert answer["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 5,
        "total_tokens": 105,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    asked = await served.begin(body(words(100), words(5), words(20), max_tokens=5))
    served.pass_s(10)
    usage = (await (await asked).json())["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 105}


async def test_a_stream_begins_with_the_role_and_ends_with_usage(serve: Any) -> None:
    served = await serve()
    more = {"max_tokens": 6, "stream": True, "stream_options": {"include_usage": True}}
    asked = await served.begin(body(words(100), **more))
    served.pass_s(10)
    lines = (await (await asked).text()).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == words(6)
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 106


async def test_a_full_server_that_turns_away_answers_429(serve: Any) -> None:
    served = await serve(turns_away=True, retry_after_s=2.0)
    running = [await served.begin(body(words(10, label))) for label in ("one ", "two ")]
    refused = await served.ask(body(words(10)))
    assert refused.status == 429 and served.engine.turned_away == 1
    assert (refused.headers["Retry-After"], refused.headers["retry-after-ms"]) == ("2.000", "2000")
    assert (await refused.json())["error"]["type"] == "rate_limit_error"
    served.pass_s(100)
    assert [answer.status for answer in await asyncio.gather(*running)] == [200, 200]


async def test_a_full_server_that_queues_answers_later(serve: Any) -> None:
    served = await serve()
    running = [await served.begin(body(words(10, label))) for label in ("one ", "two ", "tri ")]
    served.pass_s(100)
    assert [answer.status for answer in await asyncio.gather(*running)] == [200, 200, 200]
    assert served.engine.turned_away == 0


async def test_a_body_that_is_no_chat_request_is_answered_400(serve: Any) -> None:
    served = await serve()
    assert (await served.ask(b"[]")).status == 400


def test_a_closed_api_takes_the_time_of_its_steps_alone() -> None:
    hardware = server.closed_hardware(3, step_s=0.5)
    ends = times_of(*(chat(words(100, f"{n} ")) for n in range(3)), hardware=hardware)
    assert ends == pytest.approx([5.0] * 3)


def test_servers_in_a_process_of_their_own_answer_and_stop() -> None:
    with server.engines(server.EngineOptions(engines=2, speed=1e4)) as (urls, process):
        assert len(set(urls)) == 2
        for url in urls:
            with urllib.request.urlopen(f"{url}/models", timeout=10) as answer:
                assert [each["id"] for each in json.load(answer)["data"]] == ["emulated"]
        assert process.ask()["turned_away"] == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{urls[0]}/models", timeout=10)


class Echo(clients.Client):  # type: ignore[misc,name-defined]
    """Answers at once, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.closed: list[str] = []
        self.refuses = 1

    async def start(self, base_urls: Any) -> None: ...

    async def stop(self) -> None: ...

    async def answer(self, program: str, tenant: str, messages: Any, output_tokens: int) -> str:
        if self.refuses:
            self.refuses -= 1
            raise clients.TurnedAway
        self.asked.append((len(messages), sum(len(each["content"]) for each in messages) // 4))
        return words(output_tokens)

    def close(self, program: str) -> None:
        self.closed.append(program)


async def test_agents_go_on_with_the_longest_conversation_of_a_stage() -> None:
    client = Echo()
    stages = ((Step(100, 10),), (Step(20, 5), Step(50, 7)), (Step(30, 1),))
    run = agents.Agents(client, 1e6)
    await run.run([Program("p", 0.0, stages)])
    assert client.asked == [(1, 100), (3, 130), (3, 160), (5, 197)]
    assert client.closed == ["p"] and run.turned_away == 1


def test_calls_at_random_go_where_the_seed_says() -> None:
    places = [clients.chosen(0, "p", call, 4) for call in range(100)]
    assert places == [clients.chosen(0, "p", call, 4) for call in range(100)]
    assert set(places) == {0, 1, 2, 3}


def test_programs_are_short_enough_and_arrive_at_the_load() -> None:
    site = ways.Site(cores=2, hardware=Hardware(slots=8), load=1.2)
    made = ways.workload(400, 3, longest_s=60.0, site=site)
    assert len(made) == 400 and all(alone_s(each, site.hardware) <= 60.0 for each in made)
    rate = len(made) / made[-1].arrived
    assert rate == pytest.approx(1.2 * capacity(made, cores=2, hardware=site.hardware), rel=0.25)
    assert made == ways.workload(400, 3, longest_s=60.0, site=site)


def test_every_kind_of_way_names_a_client_and_closed_ones_are_turned_away() -> None:
    every = ways.all_ways(0, 20.0)
    assert {way.client for way in every.values()} == set(clients.CLIENTS)
    assert all(
        way.turns_away == ("429" in name or name.startswith("closed"))
        for name, way in every.items()
    )


def test_the_simulator_sends_calls_where_the_clients_do() -> None:
    setting = clients.Setting(client="openai", options={"choice": "random"}, seed=3)
    real = clients.OpenAIClients(setting)
    real._clients = [None] * 4
    sent: list[int] = []

    class Server:
        def __init__(self, place: int) -> None:
            self.place = place

        def submit(self, request: object) -> None:
            sent.append(self.place)

    scene = types.SimpleNamespace(cores=[Server(place) for place in range(4)])
    virtual = ways.all_ways(3, 1.0)["uncoordinated"].policy(scene)
    calls = [Program(name, 0.0, ()) for name in "abcabcaab"]
    for program in calls:
        virtual.send(program, None)
    assert sent == [real._server(program.id) for program in calls]
