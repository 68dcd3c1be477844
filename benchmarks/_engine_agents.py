"""The worker that runs agent programs on emulated servers: real requests, real conversations, tools that sleep.

    python benchmarks/_engine_agents.py

Reads one order, a line of JSON, and prints one line: how the programs fared.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Sequence

import msgspec
from _emulated_engine import CHARACTERS_PER_TOKEN, WORD
from _emulated_server import use_fast_loop
from _engine_clients import CLIENTS, Client, Message, Setting, TurnedAway
from _harness import raise_file_limit

from agentkernel.simulation import Program, Step


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker does; times are those of the servers."""

    base_urls: list[str]
    setting: Setting
    programs: list[Program]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the programs fared.

    Attributes:
        completions_s: from the arrival of each program to its end, in their order, in seconds of the servers.
        ended_s: the end of the last one, in seconds of the servers.
        turned_away: 429s that reached an agent, which then made its call again.
        late_p50_s, late_p99_s: of tools' timers, in real seconds.
        cpu_s, wall_s: of this process, in real seconds.
    """

    completions_s: list[float]
    ended_s: float
    turned_away: int
    late_p50_s: float
    late_p99_s: float
    cpu_s: float
    wall_s: float


class Agents:
    """Runs programs with one client."""

    def __init__(self, client: Client, speed: float) -> None:
        self._client, self._speed = client, speed
        self._began = 0.0
        self.turned_away = 0
        self.late_s: list[float] = []

    async def run(self, programs: Sequence[Program]) -> list[float]:
        """The completion time of each, in seconds of the servers."""
        self._began = time.monotonic()
        return await asyncio.gather(*map(self._program, programs))

    def now(self) -> float:
        """Seconds of the servers since the beginning."""
        return (time.monotonic() - self._began) * self._speed

    async def _program(self, program: Program) -> float:
        await self._until(program.arrived)
        identity = self._client.open(program.id, program.tenant)
        conversation: list[Message] = []
        for stage in program.stages:
            ends = [self._step(identity, program, step, conversation) for step in stage]
            conversation = max(await asyncio.gather(*ends), key=_length)
        self._client.close(identity)
        return self.now() - program.arrived

    async def _step(
        self, identity: str, program: Program, step: Step, conversation: Sequence[Message]
    ) -> list[Message]:
        """The conversation after the call and its tool."""
        label = "" if conversation else f"{program.id} "
        messages = [*conversation, {"role": "user", "content": text(step.new_tokens, label)}]
        answer = None
        while answer is None:
            try:
                answer = await self._client.answer(
                    identity, program.tenant, messages, step.output_tokens
                )
            except TurnedAway:
                self.turned_away += 1
        await self._until(self.now() + step.tool_s)
        return [*messages, {"role": "assistant", "content": answer}]

    async def _until(self, time_s: float) -> None:
        await asyncio.sleep((time_s - self.now()) / self._speed)
        self.late_s.append((self.now() - time_s) / self._speed)


def text(tokens: int, label: str = "") -> str:
    """So many tokens, which begin with a label if there is room."""
    size = CHARACTERS_PER_TOKEN * tokens
    return (label + WORD * tokens)[:size]


def _length(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


async def warm_up(client: Client, servers: int) -> None:
    """Make the first calls, which import and connect, before the clock runs. They are a token long."""
    for number in range(4 * servers):
        identity = client.open(f"warm-up-{number}", "warm-up")
        await client.answer(identity, "warm-up", [{"role": "user", "content": WORD}], 1)
        client.close(identity)


async def fulfil(order: Order) -> Outcome:
    """Run the programs of an order."""
    client = CLIENTS[order.setting.client](order.setting)
    await client.start(order.base_urls)
    await warm_up(client, len(order.base_urls))
    gc.collect()
    gc.freeze()
    agents = Agents(client, order.setting.speed)
    cpu_s, wall_s = time.process_time(), time.monotonic()
    completions = await agents.run(order.programs)
    cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
    await client.stop()
    late_s = sorted(agents.late_s)
    return Outcome(
        completions_s=completions,
        ended_s=wall_s * order.setting.speed,
        turned_away=agents.turned_away,
        late_p50_s=late_s[len(late_s) // 2],
        late_p99_s=late_s[int(0.99 * (len(late_s) - 1))],
        cpu_s=cpu_s,
        wall_s=wall_s,
    )


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not end up there
    order = msgspec.json.decode(sys.stdin.readline(), type=Order)
    raise_file_limit()
    use_fast_loop()
    outcome = asyncio.run(fulfil(order))
    answers.write(msgspec.json.encode(outcome).decode() + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
