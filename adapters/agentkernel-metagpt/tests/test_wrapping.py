"""``wrap()`` and ``unwrap()`` on the real framework."""

from __future__ import annotations

import inspect
import sys
from operator import attrgetter
from typing import Any

import pytest

import agentkernel
import agentkernel_metagpt
from agentkernel.api import PatchConflict, Seam
from agentkernel.testing import AdapterKit


class TestConformance(AdapterKit):
    plugin = agentkernel_metagpt
    targets_installed = True


def _seams() -> list[Seam]:
    adapter = agentkernel_metagpt.create_adapter()
    return list(adapter.seams(adapter.targets[0]))


def _imported() -> list[Seam]:
    return [seam for seam in _seams() if seam.module in sys.modules]


def _stored(seam: Seam) -> Any:
    owner, _, method = seam.attribute.partition(".")
    return vars(getattr(sys.modules[seam.module], owner)).get(method)


def test_every_provider_has_a_seam_or_uses_the_openai_sdk(metagpt: Any) -> None:
    from metagpt.provider.llm_provider_registry import LLM_REGISTRY
    from metagpt.provider.openai_api import OpenAILLM

    covered = {(seam.module, *seam.attribute.split(".")) for seam in _seams()}
    for provider in set(LLM_REGISTRY.providers.values()):
        # Of Bedrock's methods one calls the other, which has the seam.
        whole = "acompletion" if provider.__name__ == "BedrockLLM" else "_achat_completion"
        for name in (whole, "_achat_completion_stream"):
            owner = next(cls for cls in provider.__mro__ if name in vars(cls))
            seam = (owner.__module__, owner.__name__, name)
            assert owner is OpenAILLM or seam in covered, f"{provider.__name__}.{name}"


def test_report_says_what_was_wrapped(metagpt: Any) -> None:
    reports = agentkernel.wrap(quiet=True, config={}).frameworks
    (report,) = (report for report in reports if report.adapter == "metagpt")
    assert report.wrapped
    assert report.target == "metagpt 0.8.2"
    assert report.failed == ()
    assert len(report.seams) == len(_seams())
    assert "tools that notebook code calls" in report.not_covered


def test_llm_calls_through_the_openai_sdk_are_its_adapters(metagpt: Any) -> None:
    reports = agentkernel.wrap(quiet=True, config={}).frameworks
    (report,) = (report for report in reports if report.adapter == "openai")
    assert report.wrapped, report.reason


def test_unwrap_restores_every_attribute_itself(metagpt: Any) -> None:
    before = [(seam, _stored(seam)) for seam in _imported()]
    assert len(before) > 20
    agentkernel.wrap(quiet=True, config={})
    agentkernel.wrap(quiet=True)
    assert all(_stored(seam) is not kept for seam, kept in before)
    agentkernel.unwrap()
    assert all(_stored(seam) is kept for seam, kept in before)


def test_wrapping_twice_intercepts_once(lab: Any) -> None:
    from metagpt.actions.run_code import RunCode

    async def work() -> Any:
        agentkernel.wrap(quiet=True)
        return await RunCode.run_text("result = 1"), await lab.context().llm().aask("hi")

    for _ in range(2):
        run = lab.wrapped(work, ["hello"])
        assert run.value == ((1, ""), "hello")
        assert len(run.calls("code")) == len(run.calls("llm")) == 1


def test_unwrap_refuses_what_somebody_patched_on_top(
    metagpt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metagpt.roles import Role

    agentkernel.wrap(quiet=True, config={})
    ours = Role.run
    monkeypatch.setattr(Role, "run", lambda self: None)
    with pytest.raises(PatchConflict, match=r"Role\.run"):
        agentkernel.unwrap()
    monkeypatch.undo()
    assert Role.run is ours
    agentkernel.unwrap()


def test_patched_methods_keep_signature_name_and_docstring(metagpt: Any) -> None:
    seams = _imported()
    before = [attrgetter(seam.attribute)(sys.modules[seam.module]) for seam in seams]
    agentkernel.wrap(quiet=True, config={})
    for seam, original in zip(seams, before, strict=True):
        patched = attrgetter(seam.attribute)(sys.modules[seam.module])
        assert inspect.signature(patched) == inspect.signature(original)
        assert inspect.iscoroutinefunction(patched) == inspect.iscoroutinefunction(original)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            assert getattr(patched, name) == getattr(original, name)
