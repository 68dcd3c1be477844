"""``wrap()`` and ``unwrap()`` on the real framework."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import inspect
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import agentkernel
import agentkernel_autogen_agentchat
from agentkernel.api import PatchConflict, Seam, Target
from agentkernel.sdk import choose_target, find_kernel
from agentkernel.testing import AdapterKit
from agentkernel_autogen_agentchat.targets import TARGETS

ADAPTER = "autogen_agentchat"


class TestConformance(AdapterKit):
    plugin = agentkernel_autogen_agentchat


def _seams() -> list[Seam]:
    adapter = agentkernel_autogen_agentchat.create_adapter()
    target, _, reason = choose_target(adapter)
    assert target is not None, reason
    return list(adapter.seams(target))


def _source(module: str) -> Path | None:
    """Read, not imported: for many modules a provider's SDK is needed. None: this version has no such module."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    assert spec is not None and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], *rest)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


def _methods(path: Path) -> dict[str, set[str]]:
    """Methods of each class of a file."""
    return {
        node.name: {
            each.name
            for each in node.body
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    }


def _loaded() -> list[Seam]:
    import autogen_agentchat.agents
    import autogen_agentchat.teams  # noqa: F401 - their seams are to be reachable
    import autogen_ext.code_executors.local  # noqa: F401

    return [seam for seam in _seams() if seam.module in sys.modules]


@pytest.mark.parametrize("seam", _seams(), ids=lambda seam: f"{seam.module}:{seam.attribute}")
def test_seam_exists_where_the_installed_version_has_its_module(seam: Seam) -> None:
    path = _source(seam.module)
    owner, method = seam.attribute.split(".")
    assert path is None or method in _methods(path).get(owner, ())


def test_most_modules_of_seams_exist_in_the_installed_version() -> None:
    modules = {seam.module for seam in _seams()}
    assert sum(_source(module) is not None for module in modules) > 20


def test_every_client_executor_tool_and_agent_of_the_installed_version_has_a_seam() -> None:
    covered = {(seam.module, seam.attribute) for seam in _seams()}
    looked_for = {
        ("autogen_agentchat", "agents"): {"on_messages", "on_messages_stream"},
        ("autogen_agentchat", "teams"): {"run_stream", "on_message_impl"},
        ("autogen_ext", "agents"): {"on_messages", "on_messages_stream"},
        ("autogen_ext", "code_executors"): {"execute_code_blocks"},
        ("autogen_ext", "models"): {"create", "create_stream"},
        ("autogen_ext", "tools"): {"call_tool", "run_json", "run_json_stream"},
        ("autogen_core", "tools"): {"run_json", "run_json_stream"},
    }
    found = set()
    for (package, folder), methods in looked_for.items():
        init = _source(package)
        assert init is not None
        for source in (init.parent / folder).rglob("*.py"):
            parts = source.relative_to(init.parent).with_suffix("").parts
            module = ".".join((package, *parts)).removesuffix(".__init__")
            for owner, own in _methods(source).items():
                found |= {(module, f"{owner}.{method}") for method in own & methods}
    assert {each for each in found - covered if each[1] not in _LEFT_OUT} == set()


_LEFT_OUT = {
    "BaseChatAgent.on_messages",  # abstract
    "BaseOpenAIChatCompletionClient.create",  # the OpenAI SDK's own seams lie below
    "BaseOpenAIChatCompletionClient.create_stream",
    "ChatCompletionCache.create",  # asks another client, or nobody
    "ChatCompletionCache.create_stream",
    "ReplayChatCompletionClient.create",  # asks nobody
    "ReplayChatCompletionClient.create_stream",
    "StreamTool.run_json_stream",  # protocols
    "Tool.run_json",
    "_StopAgent.on_messages",  # says that a graph has ended
}


def test_wrap_does_not_import_autogen() -> None:
    script = (
        "import sys, agentkernel; report = agentkernel.wrap(quiet=True, frameworks=['autogen_agentchat']);"
        "assert report.frameworks[0].wrapped; agentkernel.unwrap();"
        "print(sorted(name for name in sys.modules if name.split('_')[0] in ('autogen', 'openai')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_report_says_what_was_wrapped() -> None:
    reports = agentkernel.wrap(quiet=True, config={}, frameworks=[ADAPTER]).frameworks
    (report,) = reports
    assert report.wrapped
    assert report.target.split()[0] == "autogen-agentchat"
    assert report.failed == ()
    assert len(report.seams) == len(_seams())
    assert "model clients of your own" in report.not_covered


def test_unwrap_restores_every_attribute_itself() -> None:
    before = {}
    for seam in _loaded():
        owner_name, method = seam.attribute.split(".")
        owner = getattr(sys.modules[seam.module], owner_name)
        before[owner, method] = vars(owner).get(method)
    assert len(before) > 14
    agentkernel.wrap(quiet=True, config={})
    agentkernel.wrap(quiet=True)
    assert all(vars(owner)[method] is not kept for (owner, method), kept in before.items())
    agentkernel.unwrap()
    assert all(vars(owner)[method] is kept for (owner, method), kept in before.items())


def test_wrapping_again_intercepts_once(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent

        if find_kernel():
            agentkernel.wrap(quiet=True)
        return await AssistantAgent("assistant", client).run(task="?")

    for _ in range(2):
        assert len(lab.compare(main, ["hi"]).syscalls) == 1


def test_unwrap_refuses_what_somebody_patched_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    from autogen_agentchat.agents import BaseChatAgent

    agentkernel.wrap(quiet=True, config={})
    ours = BaseChatAgent.run
    monkeypatch.setattr(BaseChatAgent, "run", functools.partialmethod(ours))
    with pytest.raises(PatchConflict, match=r"BaseChatAgent\.run"):
        agentkernel.unwrap()
    monkeypatch.undo()
    assert BaseChatAgent.run is ours
    agentkernel.unwrap()


def test_patched_methods_keep_signature_name_and_kind() -> None:
    seams = _loaded()
    before = [attrgetter(seam.attribute)(sys.modules[seam.module]) for seam in seams]
    agentkernel.wrap(quiet=True, config={})
    for seam, original in zip(seams, before, strict=True):
        patched = attrgetter(seam.attribute)(sys.modules[seam.module])
        assert patched is not original
        assert inspect.signature(patched) == inspect.signature(original)
        assert inspect.iscoroutinefunction(patched) == inspect.iscoroutinefunction(original)
        assert inspect.isasyncgenfunction(patched) == inspect.isasyncgenfunction(original)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            assert getattr(patched, name) == getattr(original, name)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (None, "autogen-agentchat is not installed"),
        ("0.2.40", "autogen-agentchat 0.2.40 is installed, supported is >=0.6"),
        ("0.8.0", "autogen-agentchat 0.8.0 is installed, supported is >=0.6"),
    ],
    ids=["nothing", "another program", "later"],
)
def test_what_cannot_be_wrapped_is_reported_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, version: str | None, reason: str
) -> None:
    _pretend(monkeypatch, version)
    (report,) = agentkernel.wrap(quiet=True, config={}, frameworks=[ADAPTER]).frameworks
    assert not report.wrapped
    assert reason in report.reason
    assert report.seams == ()


def test_range_is_covered_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: dict[str, Target | None] = {}
    for version in ("0.5.7", "0.6.1", "0.6.2", "0.7.5"):
        _pretend(monkeypatch, version)
        chosen[version], _, _ = choose_target(agentkernel_autogen_agentchat.create_adapter())
    streamed, whole = TARGETS
    assert chosen == {"0.5.7": whole, "0.6.1": whole, "0.6.2": streamed, "0.7.5": streamed}


def _pretend(monkeypatch: pytest.MonkeyPatch, installed: str | None) -> None:
    original = importlib.metadata.version

    def version(distribution: str) -> str:
        if distribution != "autogen-agentchat":
            return original(distribution)
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
