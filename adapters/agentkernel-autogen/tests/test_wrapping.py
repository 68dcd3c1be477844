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
import agentkernel_autogen
from agentkernel.api import PatchConflict, Seam, Target
from agentkernel.sdk import choose_target
from agentkernel.testing import AdapterKit
from agentkernel_autogen.targets import TARGETS


class TestConformance(AdapterKit):
    plugin = agentkernel_autogen


def _target() -> Target:
    target, _, reason = choose_target(agentkernel_autogen.create_adapter())
    assert target is not None, reason
    return target


def _seams() -> list[Seam]:
    return list(agentkernel_autogen.create_adapter().seams(_target()))


def _reachable(seam: Seam) -> bool:
    """Whether its module is imported here; some need a provider's SDK."""
    return seam.module in sys.modules


def _source(module: str) -> Path:
    spec = importlib.util.find_spec("autogen")
    assert spec is not None and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], *module.split(".")[1:])
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


_HERE = [seam for seam in _seams() if _source(seam.module).exists()]
"""Those whose module the installed version has; clients and executors came and went."""


@pytest.mark.parametrize("seam", _HERE, ids=lambda seam: f"{seam.module}:{seam.attribute}")
def test_seam_exists_in_the_source_of_the_installed_version(seam: Seam) -> None:
    """Read, not imported: for many of them a provider's SDK is needed."""
    class_name, method = seam.attribute.split(".")
    classes = [
        node
        for node in ast.parse(_source(seam.module).read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    (owner,) = (node for node in classes if node.name == class_name)
    functions = [
        node for node in owner.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert method in [node.name for node in functions]


def test_only_clients_and_executors_are_missing_from_the_installed_version() -> None:
    for seam in _seams():
        assert seam in _HERE or seam.kind in ("llm", "code") or "ThreadIO" in seam.attribute


def test_every_client_and_executor_of_the_installed_version_has_a_seam(autogen: Any) -> None:
    covered = {(seam.module, seam.attribute) for seam in _seams()}
    root = Path(autogen.__file__).parent
    found = set()
    for folder, method in (
        ("agentchat/contrib", "execute_code_blocks"),
        ("coding", "execute_code_blocks"),
        ("llm_clients", "create"),
        ("oai", "create"),
    ):
        for source in (root / folder).rglob("*.py"):
            module = ".".join(("autogen", *source.relative_to(root).with_suffix("").parts))
            for node in ast.parse(source.read_text()).body:
                if isinstance(node, ast.ClassDef) and any(
                    isinstance(one, ast.FunctionDef) and one.name == method for one in node.body
                ):
                    found.add((module, f"{node.name}.{method}"))
    interfaces = {
        ("autogen.oai.client", "ModelClient.create"),
        ("autogen.coding.base", "CodeExecutor.execute_code_blocks"),
        ("autogen.llm_clients.client_v2", "ModelClientV2.create"),
        ("autogen.oai.completion", "Completion.create"),  # of openai 0.x
    }
    through_the_openai_sdk = {
        ("autogen.llm_clients.openai_completions_client", "OpenAICompletionsClient.create"),
        ("autogen.llm_clients.openai_responses_v2", "OpenAIResponsesV2Client.create"),
        ("autogen.oai.client", "OpenAIClient.create"),
        ("autogen.oai.openai_responses", "OpenAIResponsesClient.create"),
    }
    assert found - interfaces - through_the_openai_sdk - covered == set()
    assert len(found & covered) >= 10


def test_wrap_does_not_import_autogen() -> None:
    script = (
        "import sys, agentkernel; report = agentkernel.wrap(quiet=True);"
        "assert report.frameworks[0].wrapped; agentkernel.unwrap();"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('autogen', 'openai')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_autogen_that_is_imported_after_wrap_is_wrapped() -> None:
    script = """
import warnings; warnings.simplefilter("ignore")
import agentkernel
from agentkernel.testing import OpenAIServer, Reply
agentkernel.wrap(quiet=True)
import autogen
with OpenAIServer(Reply(content="hi")) as server:
    model = {"model": "m", "base_url": server.base_url, "api_key": "x", "price": [0, 0]}
    client = autogen.OpenAIWrapper(config_list=[model], cache_seed=None)
    client.create(messages=[{"role": "user", "content": "hello"}])
print(agentkernel.current_kernel().stats().llm_calls)
agentkernel.unwrap()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "1"


def test_report_says_what_was_wrapped(autogen: Any) -> None:
    reports = agentkernel.wrap(quiet=True, config={}).frameworks
    (report,) = (report for report in reports if report.adapter == "autogen")
    assert report.wrapped
    assert report.target.split()[0] == _target().distribution
    assert report.failed == ()
    assert len(report.seams) == len(_seams())
    assert "GPTAssistantAgent" in report.not_covered


def test_unwrap_restores_every_attribute_itself(autogen: Any) -> None:
    before = {}
    for seam in filter(_reachable, _seams()):
        class_name, method = seam.attribute.split(".")
        owner = getattr(sys.modules[seam.module], class_name)
        before[owner, method] = vars(owner).get(method)
    assert len(before) > 10
    agentkernel.wrap(quiet=True, config={})
    agentkernel.wrap(quiet=True)
    assert all(vars(owner)[method] is not kept for (owner, method), kept in before.items())
    agentkernel.unwrap()
    assert all(vars(owner)[method] is kept for (owner, method), kept in before.items())


def test_wrapped_unwrapped_and_wrapped_again_intercepts_once(autogen: Any, lab: Any) -> None:
    def ask() -> Any:
        client = autogen.OpenAIWrapper(config_list=[lab.model()], cache_seed=None)
        return client.create(messages=[{"role": "user", "content": "?"}]).choices[0].message.content

    for _ in range(2):
        run = lab.both(ask, ["hi"])
        assert len(run.syscalls) == 1


def test_wrapping_twice_intercepts_once(autogen: Any, lab: Any) -> None:
    def ask() -> Any:
        agentkernel.wrap(quiet=True)
        client = autogen.OpenAIWrapper(config_list=[lab.model()], cache_seed=None)
        return client.create(messages=[{"role": "user", "content": "?"}]).choices[0].message.content

    assert len(lab.wrapped(ask, ["hi"]).syscalls) == 1


def test_unwrap_refuses_what_somebody_patched_on_top(
    autogen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autogen.oai.client import OpenAIWrapper

    agentkernel.wrap(quiet=True, config={})
    ours = OpenAIWrapper.create
    monkeypatch.setattr(OpenAIWrapper, "create", functools.partialmethod(ours))
    with pytest.raises(PatchConflict, match=r"OpenAIWrapper\.create"):
        agentkernel.unwrap()
    monkeypatch.undo()
    assert OpenAIWrapper.create is ours
    agentkernel.unwrap()


def test_patched_methods_keep_signature_name_and_docstring(autogen: Any) -> None:
    seams = [seam for seam in _seams() if _reachable(seam)]
    before = [attrgetter(seam.attribute)(sys.modules[seam.module]) for seam in seams]
    agentkernel.wrap(quiet=True, config={})
    for seam, original in zip(seams, before, strict=True):
        patched = attrgetter(seam.attribute)(sys.modules[seam.module])
        assert patched is not original
        assert inspect.signature(patched) == inspect.signature(original)
        assert inspect.getfullargspec(inspect.unwrap(patched)) == inspect.getfullargspec(
            inspect.unwrap(original)
        )
        assert inspect.iscoroutinefunction(patched) == inspect.iscoroutinefunction(original)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            assert getattr(patched, name) == getattr(original, name)


def test_reply_functions_stay_replaceable(autogen: Any) -> None:
    """AutoGen finds reply functions by identity, in lists that agents made before ``wrap()`` have already."""

    def mine(recipient: Any, messages: Any = None, sender: Any = None, config: Any = None) -> Any:
        return True, "mine"

    early = autogen.ConversableAgent("early", llm_config=False)
    agentkernel.wrap(quiet=True, config={})
    late = autogen.ConversableAgent("late", llm_config=False)
    for agent in (early, late):
        agent.replace_reply_func(autogen.ConversableAgent.generate_oai_reply, mine)
        assert agent.generate_reply([{"role": "user", "content": "?"}]) == "mine"


@pytest.mark.parametrize(
    ("versions", "reason"),
    [
        (
            {},
            "ag2 is not installed; autogen-agentchat is not installed; pyautogen is not installed",
        ),
        ({"pyautogen": "0.2.30"}, "pyautogen 0.2.30 is installed, supported is >=0.2.35,<0.9.2"),
        ({"pyautogen": "0.10.0"}, "pyautogen 0.10.0 is installed, supported is >=0.2.35,<0.9.2"),
        (
            {"autogen-agentchat": "0.7.5"},
            "autogen-agentchat 0.7.5 is installed, supported is >=0.2",
        ),
        ({"ag2": "1.0.0"}, "ag2 1.0.0 is installed, supported is >=0.9.2,<1"),
    ],
    ids=[
        "nothing",
        "older",
        "another program",
        "another program under the new name",
        "another program of the fork",
    ],
)
def test_what_cannot_be_wrapped_is_reported_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], reason: str
) -> None:
    _pretend(monkeypatch, versions)
    (report,) = agentkernel.wrap(quiet=True, config={}, frameworks=["autogen"]).frameworks
    assert not report.wrapped
    assert reason in report.reason
    assert report.seams == ()


@pytest.mark.parametrize(
    "versions",
    [
        {"pyautogen": "0.2.35"},
        {"autogen-agentchat": "0.2.36"},
        {"autogen-agentchat": "0.2.40"},
        {"autogen-agentchat": "0.2.40", "pyautogen": "0.10.0"},
        {"ag2": "0.3.2"},
        {"ag2": "0.14.0"},
        {"ag2": "0.7.0", "pyautogen": "0.7.0"},
        {"pyautogen": "0.9"},
    ],
    ids=str,
)
def test_supported_version_is_chosen(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]
) -> None:
    _pretend(monkeypatch, versions)
    target, version, _ = choose_target(agentkernel_autogen.create_adapter())
    assert target is not None
    assert versions[target.distribution] == version


def _pretend(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    original = importlib.metadata.version

    def version(distribution: str) -> str:
        if distribution not in {target.distribution for target in TARGETS}:
            return original(distribution)
        if distribution not in versions:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return versions[distribution]

    monkeypatch.setattr(importlib.metadata, "version", version)
