"""The kernel distribution without any other: it starts, runs tools, and says what to install for the rest.

These tests need an environment where no plugin is installed; the nox session `bare` makes one.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentkernel
from agentkernel import AsyncClient, Client, Kernel
from agentkernel.api import NoCoreForCall, PluginNotFound

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def nothing_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: tmp_path / "user")
    yield
    agentkernel.unwrap()


def threads() -> list[str]:
    """Those that ``stop()`` waits for; idle workers of earlier kernels end when they come to it."""
    return [thread.name for thread in threading.enumerate() if thread.name == "agentkernel"]


def test_no_plugin_is_installed_here() -> None:
    installed = [
        f"{distribution.metadata['Name']}: {entry_point.value}"
        for distribution in importlib.metadata.distributions()
        for entry_point in distribution.entry_points
        if entry_point.group.startswith("agentkernel.")
    ]
    assert installed == [], "run these tests with `nox -s bare`"


def test_kernel_starts_and_stops() -> None:
    with Kernel() as kernel:
        assert kernel.state == "running"
        assert kernel.cores == []
        assert kernel.registry.plugins() == []
    assert threads() == []


def test_tools_work() -> None:
    def add(a: int, b: int = 1) -> int:
        return a + b

    async def shout(text: str) -> str:
        return text.upper()

    with Kernel() as kernel:
        client = Client(kernel)
        client.add_tool(add)
        client.add_tool(shout)
        assert client.call_tool("add", {"a": 1, "b": 2}) == 3
        assert client.call_tool("shout", {"text": "x"}) == "X"


def test_sessions_and_agents_work() -> None:
    @agentkernel.agent
    def researcher() -> int:
        return len(kernel.programs)

    with Kernel() as kernel:
        agentkernel.wrap(kernel=kernel, quiet=True)
        assert researcher() == 1
        assert kernel.programs == []


def test_llm_call_without_a_core_says_how_to_add_one() -> None:
    with Kernel() as kernel:
        for _ in range(2):
            with pytest.raises(NoCoreForCall, match=r"Add one under \[cores.NAME\]"):
                Client(kernel).llm_chat(HELLO)


def test_first_llm_call_names_the_install_line_of_the_missing_scheduling_plugin() -> None:
    with Kernel() as kernel:
        kernel.add_core("mine", echo_core())
        for _ in range(2):  # and so does every other call
            with pytest.raises(PluginNotFound) as error:
                Client(kernel).llm_chat(HELLO)
            kind, name = error.value.kind, error.value.name
            assert kind in ("order", "placement", "admission")
            assert f"pip install agentkernel-{kind}-{name}".replace("_", "-") in str(error.value)
            assert error.value.installed == ()


async def test_first_async_llm_call_says_so_too() -> None:
    with Kernel() as kernel:
        kernel.add_core("mine", echo_core())
        with pytest.raises(PluginNotFound, match="pip install agentkernel-"):
            await AsyncClient(kernel).llm_chat(HELLO)


def test_kernel_that_misses_scheduling_plugins_still_runs_tools() -> None:
    with Kernel() as kernel:
        kernel.add_core("mine", echo_core())
        with pytest.raises(PluginNotFound):
            Client(kernel).llm_chat(HELLO)
        client = Client(kernel)
        client.add_tool(agentkernel.tool(name="ping")(lambda: "pong"))
        assert client.call_tool("ping") == "pong"


def test_core_whose_plugin_is_missing_is_an_error_with_the_install_line() -> None:
    kernel = Kernel({"cores": {"main": {"plugin": "openai", "base_url": "http://127.0.0.1:1/v1"}}})
    with pytest.raises(PluginNotFound, match="pip install agentkernel-core-openai") as error:
        kernel.start()
    assert (error.value.kind, error.value.name) == ("llm_core", "openai")
    assert threads() == []


@pytest.mark.parametrize(("setting", "kind"), [("tools", "tool"), ("hooks", "hooks")])
def test_other_missing_plugins_are_errors_with_the_install_line(setting: str, kind: str) -> None:
    kernel = Kernel({"kernel": {setting: ["nowhere"]}})
    with pytest.raises(PluginNotFound, match=f"pip install agentkernel-{kind}-nowhere"):
        kernel.start()
    assert threads() == []


def test_core_that_is_added_later_and_whose_plugin_is_missing_is_an_error_too() -> None:
    with (
        Kernel() as kernel,
        pytest.raises(PluginNotFound, match="pip install agentkernel-core-openai"),
    ):
        kernel.add_core("main", "openai")


def test_wrap_says_that_no_adapter_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    report = agentkernel.wrap()
    assert report.frameworks == ()
    said = capsys.readouterr().err
    assert (
        said
        == "agentkernel: no adapter is installed: pip install 'agentkernel[FRAMEWORK]', as for autogen, openai\n"
    )


def test_wrap_with_an_adapter_that_is_missing_names_the_install_line() -> None:
    with pytest.raises(PluginNotFound, match="pip install agentkernel-autogen"):
        agentkernel.wrap(frameworks=["autogen"], quiet=True)
    assert threads() == []


def test_unwrap_after_wrap_leaves_no_thread() -> None:
    agentkernel.wrap(quiet=True)
    assert threads() == ["agentkernel"]
    agentkernel.unwrap()
    assert threads() == []


def echo_core() -> Any:
    """A core that needs nothing."""
    from agentkernel.testing import FakeCore

    return FakeCore("ok")
