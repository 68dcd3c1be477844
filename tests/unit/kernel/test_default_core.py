"""The core that answers when none is configured."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel import Kernel
from agentkernel.api import (
    CoreConnectionError,
    LLMCall,
    LLMCore,
    NoCoreForCall,
    NoOptions,
    hookimpl,
)
from agentkernel.testing import FakeCore


class Nano:
    """A plugin in the place of the embedded one; its first ``failures`` cores cannot start."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.made: list[FakeCore] = []

    @hookimpl
    def create_llm_core(self, name: str, options: NoOptions) -> LLMCore:
        core = Unstartable() if len(self.made) < self.failures else FakeCore(models=["nano"])
        self.made.append(core)
        return core


class Unstartable(FakeCore):
    async def start(self) -> None:
        raise CoreConnectionError("it does not start")


def ask(**fields: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": "hello"}], **fields)


def kernel_with(plugin: object, config: dict[str, Any] | None = None, **settings: Any) -> Kernel:
    return Kernel(config or {}, plugins={("llm_core", "nano"): plugin}, **settings)


def test_it_is_started_by_the_first_call_that_names_no_core() -> None:
    plugin = Nano()
    with kernel_with(plugin) as kernel:
        assert plugin.made == [] and kernel.cores == []
        tickets = [kernel.submit(ask()) for _ in range(20)]
        assert [ticket.result(10).text for ticket in tickets] == ["ok"] * 20
        assert len(plugin.made) == 1 and kernel.cores == ["nano"]


@pytest.mark.parametrize("fields", [{"model": "nano"}, {"core": "nano"}])
def test_it_answers_to_its_name(fields: dict[str, str]) -> None:
    with kernel_with(Nano()) as kernel:
        assert kernel.submit(ask(**fields)).result(10).text == "ok"


def test_a_call_for_another_model_is_not_given_to_it() -> None:
    plugin = Nano()
    with kernel_with(plugin) as kernel:
        with pytest.raises(NoCoreForCall, match="gpt-4o"):
            kernel.submit(ask(model="gpt-4o")).result(10)
        assert not kernel.serves("gpt-4o") and kernel.serves("nano") and not kernel.serves(None)
    assert plugin.made == []


def test_configured_cores_leave_nothing_to_it() -> None:
    plugin = Nano()

    class Main:
        @hookimpl
        def create_llm_core(self, name: str, options: NoOptions) -> LLMCore:
            return FakeCore(models=["large"])

    config = {"cores": {"main": {"plugin": "main"}}}
    plugins = {("llm_core", "nano"): plugin, ("llm_core", "main"): Main()}
    with Kernel(config, plugins=plugins) as kernel:
        assert not kernel.serves("nano")
        with pytest.raises(NoCoreForCall):
            kernel.submit(ask(model="nano")).result(10)
        assert kernel.submit(ask()).result(10).text == "ok"
    assert plugin.made == []


def test_it_can_be_switched_off() -> None:
    plugin = Nano()
    with kernel_with(plugin, default_core="") as kernel:
        with pytest.raises(NoCoreForCall):
            kernel.submit(ask()).result(10)
        assert not kernel.serves("nano")
    assert plugin.made == []


def test_without_the_plugin_the_error_is_that_there_is_no_core() -> None:
    with (
        Kernel({"plugins": {"block": ["llm_core:nano"]}}) as kernel,
        pytest.raises(NoCoreForCall),
    ):
        kernel.submit(ask()).result(10)


def test_failed_start_fails_the_calls_that_wait_and_the_next_one_tries_again() -> None:
    plugin = Nano(failures=1)
    with kernel_with(plugin) as kernel:
        with pytest.raises(CoreConnectionError, match="does not start"):
            kernel.submit(ask(max_retries=0)).result(10)
        assert kernel.submit(ask()).result(10).text == "ok"
