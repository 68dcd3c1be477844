"""Sessions say who calls: agent, tenant, priority. An order that looks at the priority lets the urgent agent pass.

``FakeCore`` stands in for a model that answers one call at a time.
"""

from __future__ import annotations

import threading

from agentkernel import Client, Kernel, hookimpl, session
from agentkernel.api import HeapOrder, NoOptions, Order, WaitingCall
from agentkernel.testing import FakeCore


class ByPriority(HeapOrder):
    """Larger priorities first, then first come, first served."""

    def key(self, waiting: WaitingCall, now: float) -> int:
        """Smaller keys come first."""
        return -waiting.call.context.priority


class Plugin:
    """The order as a plugin of this process."""

    @hookimpl
    def create_order(self, options: NoOptions) -> Order:
        """The kernel calls it once for each queue."""
        return ByPriority()


def work(client: Client, name: str, priority: int) -> None:
    """One agent in a thread of its own: two calls of one program."""
    with session(name, tenant="research", priority=priority):
        for step in range(2):
            client.llm_chat([{"role": "user", "content": f"step {step}"}])


def main() -> None:
    """Five patient agents and an urgent one, which came last."""
    core = FakeCore(latency_s=0.05, slots=1)
    agents = [(f"patient-{number}", 0) for number in range(5)] + [("urgent", 5)]
    with Kernel(plugins={("order", "priority"): Plugin()}, order="priority") as kernel:
        kernel.add_core("fake", core)
        client = Client(kernel)
        threads = [threading.Thread(target=work, args=(client, *agent)) for agent in agents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for call in core.calls:
        print(call.context.agent, call.messages[0]["content"])


if __name__ == "__main__":
    main()
