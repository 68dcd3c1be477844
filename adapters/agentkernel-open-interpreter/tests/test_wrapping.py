"""``wrap()`` and ``unwrap()`` on the real framework."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import subprocess
import sys
from operator import attrgetter
from typing import Any

import pytest

import agentkernel
import agentkernel_open_interpreter
from agentkernel.api import PatchConflict, Seam
from agentkernel.sdk import choose_target
from agentkernel.testing import AdapterKit


class TestConformance(AdapterKit):
    plugin = agentkernel_open_interpreter


def _seams() -> list[Seam]:
    adapter = agentkernel_open_interpreter.create_adapter()
    target, _, reason = choose_target(adapter)
    assert target is not None, reason
    return list(adapter.seams(target))


def _found(seam: Seam) -> Any:
    return attrgetter(seam.attribute)(sys.modules[seam.module])


@pytest.mark.parametrize("seam", _seams(), ids=lambda seam: seam.attribute)
def test_seam_exists_in_the_installed_version(oi: Any, seam: Seam) -> None:
    assert inspect.isfunction(_found(seam))


def test_report_says_what_was_wrapped(oi: Any) -> None:
    reports = agentkernel.wrap(quiet=True, config={}).frameworks
    (report,) = (report for report in reports if report.adapter == "open_interpreter")
    assert report.wrapped
    assert report.target.startswith("open-interpreter 0.")
    assert report.failed == ()
    assert len(report.seams) == len(_seams())
    assert report.unreachable == ()


def test_wrap_does_not_import_open_interpreter() -> None:
    script = (
        "import sys, agentkernel; agentkernel.wrap(quiet=True); agentkernel.unwrap();"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'interpreter', 'litellm'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_unwrap_restores_every_attribute_itself(oi: Any) -> None:
    before = [_found(seam) for seam in _seams()]
    agentkernel.wrap(quiet=True, config={})
    agentkernel.wrap(quiet=True)
    assert all(_found(seam) is not kept for seam, kept in zip(_seams(), before, strict=True))
    agentkernel.unwrap()
    assert all(_found(seam) is kept for seam, kept in zip(_seams(), before, strict=True))


def test_patched_methods_keep_signature_name_and_docstring(oi: Any) -> None:
    before = [_found(seam) for seam in _seams()]
    agentkernel.wrap(quiet=True, config={})
    for seam, original in zip(_seams(), before, strict=True):
        patched = _found(seam)
        assert inspect.signature(patched) == inspect.signature(original)
        assert inspect.iscoroutinefunction(patched) == inspect.iscoroutinefunction(original)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            assert getattr(patched, name) == getattr(original, name)


def test_unwrap_refuses_what_somebody_patched_on_top(
    oi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agentkernel.wrap(quiet=True, config={})
    ours = oi.OpenInterpreter.chat
    monkeypatch.setattr(oi.OpenInterpreter, "chat", functools.partialmethod(ours))
    with pytest.raises(PatchConflict, match=r"OpenInterpreter\.chat"):
        agentkernel.unwrap()
    monkeypatch.undo()
    agentkernel.unwrap()


def test_interpreter_that_exists_before_wrap_is_reached(lab: Any) -> None:
    made = lab.interpreter()
    made.chat("before", display=False)
    run = lab.wrapped(lambda: made.chat("compute", display=False), lab.code_then_thanks(True))
    assert [len(run.calls(kind)) for kind in ("llm", "code")] == [2, 1]


def test_wrapped_unwrapped_and_wrapped_again_intercepts_once(lab: Any) -> None:
    for _ in range(2):
        run = lab.both(
            lambda: lab.interpreter().chat("compute", display=False), lab.code_then_thanks(True)
        )
        assert len(run.syscalls) == 3


def test_stream_that_outlives_the_kernel_can_be_left(lab: Any) -> None:
    with lab.wrap():
        lab.script = lambda _: lab.execute("a")
        chunks = lab.interpreter().chat("compute", display=False, stream=True)
        next(chunks)
    chunks.close()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("0.3.4", "open-interpreter 0.3.4 is installed, supported is >=0.3.14,<0.5"),
        ("0.5.0", "open-interpreter 0.5.0 is installed, supported is >=0.3.14,<0.5"),
    ],
)
def test_what_cannot_be_wrapped_is_reported_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, version: str, reason: str
) -> None:
    original = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: version if name == "open-interpreter" else original(name),
    )
    (report,) = agentkernel.wrap(quiet=True, config={}, frameworks=["open_interpreter"]).frameworks
    assert not report.wrapped
    assert reason in report.reason
