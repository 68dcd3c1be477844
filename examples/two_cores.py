"""Two endpoints in one pool: calls that name no core go where there is room, and one endpoint may fail.

Scripted servers stand in for the models. Any OpenAI-compatible endpoints can take their place: change ``base_url``.
"""

from __future__ import annotations

from collections import Counter

from agentkernel import Client, Kernel
from agentkernel.api import LLMCall
from agentkernel.testing import OpenAIServer
from agentkernel.testing.openai_server import fixed


def core(server: OpenAIServer, slots: int) -> dict[str, object]:
    """The table ``[cores.NAME]`` of an endpoint."""
    return {
        "plugin": "openai",
        "base_url": server.base_url,
        "api_key": "none",
        "model": "m",
        "slots": slots,
    }


def asked(kernel: Kernel, count: int) -> Counter[str | None]:
    """How many of ``count`` calls each core answered."""
    call = LLMCall(messages=[{"role": "user", "content": "hello"}], max_retries=5)
    tickets = [kernel.submit(call) for _ in range(count)]
    for ticket in tickets:
        ticket.result()
    return Counter(ticket.outcome.core for ticket in tickets if ticket.outcome)


def main() -> None:
    """Both answer; one is named; one goes away."""
    with (
        OpenAIServer(fixed("from the large one", delay_s=0.02)) as large,
        OpenAIServer(fixed("from the small one", delay_s=0.02)) as small,
    ):
        settings = {"breaker_failures": 2, "retry_initial_s": 0.01}
        cores = {"large": core(large, slots=6), "small": core(small, slots=2)}
        with Kernel(cores=cores, **settings) as kernel:
            print("shared by slots:", dict(sorted(asked(kernel, 80).items())))
            messages = [{"role": "user", "content": "hello"}]
            print("named:", Client(kernel, core="small").llm_chat(messages).text)
            small.refuse()
            print("one is down:", dict(asked(kernel, 40)))


if __name__ == "__main__":
    main()
