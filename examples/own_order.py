"""An order of your own, given to the kernel as an object of this process: the shortest prompt first.

The same class and function in a distribution with an entry point are an installed plugin; ``ak plugin new --kind order
NAME`` writes one. ``FakeCore`` stands in for a model that answers one call at a time.
"""

from __future__ import annotations

from agentkernel import Kernel, hookimpl
from agentkernel.api import HeapOrder, LLMCall, Options, Order, WaitingCall
from agentkernel.testing import FakeCore


class ShortestOptions(Options, frozen=True):
    """Every second of waiting counts as so many characters less, so that no call waits for ever."""

    chars_per_s: float = 10.0


class ShortestFirst(HeapOrder):
    """Calls with less text come first."""

    def __init__(self, chars_per_s: float) -> None:
        super().__init__()
        self._chars_per_s = chars_per_s

    def key(self, waiting: WaitingCall, now: float) -> float:
        """All calls age alike, so the time of arrival says who is older."""
        chars = sum(len(str(message.get("content") or "")) for message in waiting.call.messages)
        return chars + self._chars_per_s * waiting.arrived


class Plugin:
    """What a plugin's module is: functions marked with ``hookimpl``."""

    @hookimpl
    def create_order(self, options: ShortestOptions) -> Order:
        """The kernel calls it once for each queue."""
        return ShortestFirst(options.chars_per_s)


def main() -> None:
    """Four calls wait behind a first one; the shortest of them is answered first."""
    core = FakeCore(latency_s=0.1, slots=1)
    config = {"kernel": {"order": "shortest"}, "order": {"shortest": {"chars_per_s": 5.0}}}
    with Kernel(config, plugins={("order", "shortest"): Plugin()}) as kernel:
        kernel.add_core("fake", core)
        texts = ["the first one", "a very long question", "a long question", "a question", "short"]
        calls = [LLMCall(messages=[{"role": "user", "content": text}]) for text in texts]
        tickets = [kernel.submit(call) for call in calls]
        for ticket in tickets:
            ticket.result()
    for call in core.calls:
        print(call.messages[0]["content"])


if __name__ == "__main__":
    main()
