"""The ways in which agents get their calls to emulated servers: clients, gateways and the kernel, as users have them.

Every pause that a client makes by itself is divided by the speed of the servers, as everything is.
"""

from __future__ import annotations

import importlib
import itertools
import os
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

Message = dict[str, str]

MODEL = "emulated"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
"""Between the attempts of a call: what openai, LiteLLM and the kernel have as their defaults."""

RETRIES = 10


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """How calls get to servers.

    Attributes:
        client: key of :data:`CLIENTS`.
        options: of that client.
        speed: seconds that pass for the servers in a real one.
        seed: of what is left to chance.
    """

    client: str
    options: Mapping[str, Any] = {}
    speed: float = 1.0
    seed: int = 0


class TurnedAway(Exception):
    """A 429 reached the agent."""


class Client(ABC):
    """Gets calls answered. Belongs to one event loop."""

    @abstractmethod
    async def start(self, base_urls: Sequence[str]) -> None:
        """Connect to the servers."""

    def open(self, program: str, tenant: str) -> str:
        """A program begins; its calls carry the id that this returns."""
        return program

    @abstractmethod
    async def answer(
        self, program: str, tenant: str, messages: Sequence[Message], output_tokens: int
    ) -> str:
        """The text of an answer.

        Raises:
            TurnedAway: a 429 was final.
        """

    def close(self, program: str) -> None:
        """The program has ended."""

    @abstractmethod
    async def stop(self) -> None:
        """Close all connections."""


def chosen(seed: int, program: str, call: int, servers: int) -> int:
    """Which of the servers a call is sent to at random: the same one whenever it is made."""
    return random.Random(f"{seed} {program} {call}").randrange(servers)


class OpenAIClients(Client):
    """An ``AsyncOpenAI`` for each server, which repeats what is answered 429 by itself.

    Options: ``choice`` is ``random``, a server for each call, or ``sticky``, one for each program in turn.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._homes: dict[str, int] = {}
        self._turn = itertools.count()
        self._calls: dict[str, int] = {}

    async def start(self, base_urls: Sequence[str]) -> None:
        import openai
        from openai import _base_client

        speed = self._setting.speed
        for name, pause_s in (
            ("INITIAL_RETRY_DELAY", FIRST_PAUSE_S),
            ("MAX_RETRY_DELAY", LONGEST_PAUSE_S),
        ):
            if not hasattr(_base_client, name):
                raise SystemExit(
                    f"openai {openai.__version__} has no {name} that could be divided by the speed"
                )
            setattr(_base_client, name, pause_s / speed)
        self._error = openai.RateLimitError
        httpx = importlib.import_module("httpx2" if int(openai.__version__[0]) >= 3 else "httpx")
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=60
        )
        self._clients = [
            openai.AsyncOpenAI(
                base_url=url,
                api_key="x",
                max_retries=RETRIES,
                http_client=openai.DefaultAioHttpClient(limits=limits),
            )
            for url in base_urls
        ]

    def open(self, program: str, tenant: str) -> str:
        self._homes[program] = next(self._turn) % len(self._clients)
        return program

    async def answer(
        self, program: str, tenant: str, messages: Sequence[Message], output_tokens: int
    ) -> str:
        server = self._server(program)
        try:
            # The client walks the types of all `messages` at each call, which takes milliseconds that no speed divides.
            completion = await self._clients[server].chat.completions.create(
                model=MODEL,
                messages=[],
                max_tokens=output_tokens,
                extra_body={"messages": messages},
            )
        except self._error as error:
            raise TurnedAway from error
        return completion.choices[0].message.content or ""

    def _server(self, program: str) -> int:
        if self._setting.options["choice"] == "sticky":
            return self._homes[program]
        call = self._calls[program] = self._calls.get(program, -1) + 1
        return chosen(self._setting.seed, program, call, len(self._clients))

    async def stop(self) -> None:
        for client in self._clients:
            await client.close()


class LiteLLM(Client):
    """LiteLLM's Router over all servers, with everything off that has a price.

    Options: ``strategy``, its ``routing_strategy``; ``sessions``, whether it keeps the calls of a program on one server.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    async def start(self, base_urls: Sequence[str]) -> None:
        speed = self._setting.speed
        os.environ.update(  # LiteLLM reads it when it is imported; zero means no limit
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            AIOHTTP_CONNECTOR_LIMIT="0",
            AIOHTTP_CONNECTOR_LIMIT_PER_HOST="0",
            INITIAL_RETRY_DELAY=str(FIRST_PAUSE_S / speed),
            MAX_RETRY_DELAY=str(LONGEST_PAUSE_S / speed),
        )
        import litellm

        litellm.suppress_debug_info = True
        litellm.turn_off_message_logging = True
        litellm.disable_end_user_cost_tracking = True
        self._error = litellm.RateLimitError
        self._sessions = bool(self._setting.options.get("sessions"))
        more = {"optional_pre_call_checks": ["session_affinity"]} if self._sessions else {}
        self._router = litellm.Router(
            model_list=[self._deployment(url) for url in base_urls],
            routing_strategy=self._setting.options["strategy"],
            num_retries=RETRIES,
            disable_cooldowns=True,
            enable_pre_call_checks=False,
            cache_responses=False,
            **more,
        )

    @staticmethod
    def _deployment(url: str) -> dict[str, object]:
        parameters = {
            "model": f"aiohttp_openai/{MODEL}",
            "api_base": f"{url}/chat/completions",
            "api_key": "x",
            "max_retries": 0,
        }
        return {"model_name": MODEL, "litellm_params": parameters}

    async def answer(
        self, program: str, tenant: str, messages: Sequence[Message], output_tokens: int
    ) -> str:
        more = {"metadata": {"session_id": program}} if self._sessions else {}
        try:
            completion = await self._router.acompletion(
                model=MODEL,
                messages=list(messages),
                max_tokens=output_tokens,
                **more,
            )
        except self._error as error:
            raise TurnedAway from error
        return str(completion.choices[0].message.content)

    async def stop(self) -> None:
        import litellm

        await litellm.close_litellm_async_clients()


class KernelClient(Client):
    """The kernel, with a core for each server.

    Options: ``settings``, keys of ``[kernel]``; ``plugins``, tables of options, in which seconds are those of the servers
    already divided; ``slots`` of each core, None where nobody knows them.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    async def start(self, base_urls: Sequence[str]) -> None:
        import agentkernel
        from agentkernel.api import CoreStatusError

        options, speed = self._setting.options, self._setting.speed
        core = {"plugin": "openai", "api_key": "", "model": MODEL}
        if options["slots"] is not None:
            core["slots"] = options["slots"]
        self._error = CoreStatusError
        self._kernel = agentkernel.Kernel(
            config=options["plugins"],
            cores={
                f"core-{number}": {**core, "base_url": url} for number, url in enumerate(base_urls)
            },
            retry_initial_s=FIRST_PAUSE_S / speed,
            retry_max_s=LONGEST_PAUSE_S / speed,
            breaker_open_s=5.0 / speed,
            max_retries=RETRIES,
            **options["settings"],
        )
        self._kernel.start()
        self._client = agentkernel.AsyncClient(self._kernel)

    def open(self, program: str, tenant: str) -> str:
        return self._kernel.open_program(program, tenant=tenant).id

    async def answer(
        self, program: str, tenant: str, messages: Sequence[Message], output_tokens: int
    ) -> str:
        from agentkernel.api import CallContext, LLMCall

        call = LLMCall(
            messages=messages,
            params={"max_tokens": output_tokens},
            context=CallContext(agent="agent", program=program, tenant=tenant),
        )
        try:
            return (await self._client.submit(call)).text or ""
        except self._error as error:
            if error.status != 429:
                raise
            raise TurnedAway from error

    def close(self, program: str) -> None:
        self._kernel.close_program(program)

    async def stop(self) -> None:
        self._kernel.stop()


CLIENTS: Mapping[str, Callable[[Setting], Client]] = {
    "openai": OpenAIClients,
    "litellm": LiteLLM,
    "kernel": KernelClient,
}
"""By the name in a setting."""
