"""The embedder: which plugins get it, when it is made, and what is said when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel import Kernel
from agentkernel.api import (
    Embedder,
    HeapOrder,
    LLMCall,
    NoOptions,
    Options,
    Order,
    PluginError,
    PluginFault,
    PluginSignatureError,
    SettingsError,
    WaitingCall,
    hookimpl,
)
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.testing import FakeCore, FakeEmbedder


class ByArrival(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> float:
        return waiting.arrived


class TakesOne:
    """An order that remembers the embedder that each queue got."""

    def __init__(self) -> None:
        self.got: list[Embedder] = []

    @hookimpl
    def create_order(self, options: NoOptions, embedder: Embedder) -> Order:
        self.got.append(embedder)
        return ByArrival()


class TakesNone:
    @hookimpl
    def create_order(self, options: NoOptions) -> Order:
        return ByArrival()


class Letters(Options, frozen=True):
    size: int = 26


class Embeds:
    """An embedder plugin that remembers the options of each embedder that it made."""

    def __init__(self) -> None:
        self.made: list[Letters] = []

    @hookimpl
    def create_embedder(self, options: Letters) -> Embedder:
        self.made.append(options)
        return FakeEmbedder()


def ask(kernel: Kernel, **fields: Any) -> str | None:
    call = LLMCall(messages=[{"role": "user", "content": "hello"}], **fields)
    text: str | None = kernel.submit(call).result().text
    return text


def kernel_with(order: object, embeds: object, **config: Any) -> Kernel:
    plugins = {("order", "mine"): order, ("embedder", "mine"): embeds}
    return Kernel({"kernel": {"order": "mine", "embedder": "mine"}, **config}, plugins=plugins)


def test_order_that_takes_an_embedder_gets_the_configured_one_the_same_for_all_queues() -> None:
    order, embeds = TakesOne(), Embeds()
    with kernel_with(order, embeds, embedder={"mine": {"size": 5}}) as kernel:
        kernel.add_core("one", FakeCore())
        kernel.add_core("two", FakeCore())
        assert ask(kernel, core="one") == ask(kernel, core="two") == "ok"
    first, second = order.got
    assert first is second
    assert isinstance(first, FakeEmbedder)
    assert embeds.made == [Letters(size=5)]


def test_nothing_is_made_where_the_order_takes_no_embedder() -> None:
    embeds = Embeds()
    with kernel_with(TakesNone(), embeds) as kernel:
        kernel.add_core("one", FakeCore())
        assert ask(kernel) == "ok"
    assert embeds.made == []


def test_default_embedder_is_not_loaded_where_the_order_takes_none() -> None:
    config = {"kernel": {"order": "mine"}, "plugins": {"block": ["embedder:*"]}}
    with Kernel(config, plugins={("order", "mine"): TakesNone()}) as kernel:
        kernel.add_core("one", FakeCore())
        assert ask(kernel) == "ok"


def test_embedder_that_is_missing_or_blocked_stops_the_start_where_the_order_takes_one() -> None:
    config = {"kernel": {"order": "mine"}, "plugins": {"block": ["embedder:*"]}}
    with pytest.raises(PluginError, match="'hashing'"):
        Kernel(config, plugins={("order", "mine"): TakesOne()}).start()


def test_embedder_that_was_chosen_and_is_missing_stops_the_start() -> None:
    with pytest.raises(PluginError, match="pip install agentkernel-embedder-absent"):
        Kernel({}, embedder="absent").start()


def test_invalid_option_of_the_embedder_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"embedder\.mine\.size"):
        kernel_with(TakesOne(), Embeds(), embedder={"mine": {"size": "large"}}).start()


def test_hook_that_makes_no_embedder_fails_the_call_with_a_plugin_error() -> None:
    class Nothing:
        @hookimpl
        def create_embedder(self, options: NoOptions) -> Embedder:
            return None  # type: ignore[return-value]

    with kernel_with(TakesOne(), Nothing()) as kernel:
        kernel.add_core("one", FakeCore())
        with pytest.raises(PluginSignatureError, match=r"agentkernel\.api\.Embedder"):
            ask(kernel)


def test_registry_says_which_arguments_a_create_hook_takes() -> None:
    extra = {("order", "one"): TakesOne(), ("order", "none"): TakesNone()}
    registry = PluginRegistry(extra=extra)
    taken = [registry.takes("order", name, "embedder") for name in ("one", "none")]
    assert taken == [True, False]


def test_argument_that_the_hook_takes_must_be_given_to_create() -> None:
    registry = PluginRegistry(extra={("order", "one"): TakesOne()})
    with (
        pytest.warns(UserWarning, match="embedder"),
        pytest.raises(PluginFault, match="embedder"),
    ):
        registry.create("order", "one", NoOptions())
    made = registry.create("order", "one", NoOptions(), embedder=FakeEmbedder())
    assert isinstance(made, ByArrival)
