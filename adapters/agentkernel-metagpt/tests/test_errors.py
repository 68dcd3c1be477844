"""What fails, fails the same: MetaGPT's and the SDK's own exceptions."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

import agentkernel
from agentkernel.testing import Reply

pytestmark = pytest.mark.usefixtures("metagpt")


def ask(lab: Any, *, stream: bool = False) -> Any:
    async def work() -> Any:
        try:
            return await lab.context(stream=stream).llm().aask("hi")
        except openai.APIStatusError as error:
            return type(error).__name__, error.status_code
        except openai.APIConnectionError as error:
            return type(error).__name__

    return work


@pytest.mark.parametrize(
    ("status", "name"),
    [(401, "AuthenticationError"), (429, "RateLimitError"), (500, "InternalServerError")],
)
def test_refusal_is_the_sdks_error(lab: Any, status: int, name: str) -> None:
    run = lab.both(ask(lab), lambda: lambda request: Reply(status=status, content="no"))
    assert run.value == (name, status)
    assert len(run.calls("llm")) == 1


def test_transient_refusal_is_retried_below_metagpt(lab: Any) -> None:
    run = lab.both(ask(lab), [Reply(status=500, content="no"), "hello"])
    assert run.value == "hello"


def test_connection_that_breaks_is_retried_by_metagpt(lab: Any) -> None:
    """The SDK tries three times, and MetaGPT asks it six times."""
    run = lab.wrapped(ask(lab), lambda request: Reply(content="hello", cut_after_chunks=0))
    assert run.value == "APIConnectionError"
    assert len(run.calls("llm")) == 6


def role_that_fails(lab: Any, fail: Any) -> Any:
    from metagpt.actions import Action
    from metagpt.roles import Role

    class Fail(Action):
        async def run(self, history: Any) -> str:
            fail()
            return "never"

    async def work() -> Any:
        role = Role(name="Alice", actions=[Fail()], context=lab.context())
        try:
            await role.run("go")
        except Exception as error:  # noqa: BLE001 - MetaGPT raises Exception itself, with the traceback as its text
            return type(error), str(error).strip().splitlines()[-1], len(role.rc.memory.get())

    return work


def test_error_in_an_action_is_the_same(lab: Any) -> None:
    def fail() -> None:
        raise LookupError("nothing here")

    run = lab.both(role_that_fails(lab, fail), [])
    assert run.value == (Exception, "LookupError: nothing here", 0)
    assert agentkernel.sdk.current_context() == agentkernel.api.CallContext()


def test_interrupt_in_an_action_is_the_same(lab: Any) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    run = lab.both(role_that_fails(lab, fail), [])
    assert run.value == (Exception, "KeyboardInterrupt", 0)


def test_cancelled_role_cancels_its_call(lab: Any) -> None:
    async def work() -> Any:
        client = lab.context(stream=False).llm()
        task = asyncio.create_task(client.aask("hi"))
        await asyncio.to_thread(lab.server.wait_until, lambda server: server.in_flight == 1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"

    run = lab.both(work, lambda: lambda request: Reply(hang=True))
    assert run.value == "cancelled"
    assert len(run.calls("llm")) == 1


def test_stopped_kernel_is_an_error_that_says_so(lab: Any) -> None:
    from metagpt.actions.run_code import RunCode

    with lab.wrap() as (kernel, _):
        kernel.stop()
        with pytest.raises(agentkernel.AgentKernelError, match="stopped"):
            asyncio.run(RunCode.run_text("result = 1"))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "llm\n  Field required"),
        ("llm: {api_key: YOUR_API_KEY}\n", "Please set your API key"),
    ],
    ids=["missing", "no key"],
)
def test_broken_configuration_is_metagpts_own_error_and_a_missing_one_is_reported(
    tmp_path: Path, config: str | None, says: str
) -> None:
    if config is not None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config/config2.yaml").write_text(config)
    environment = {**os.environ, "METAGPT_PROJECT_ROOT": str(tmp_path), "HOME": str(tmp_path)}
    program = tmp_path / "app.py"
    program.write_text("import metagpt.config2\n")
    plain, wrapped = (
        subprocess.run(
            [sys.executable, *options, str(program)],
            capture_output=True,
            text=True,
            check=False,
            timeout=290,
            env=environment,
        )
        for options in ([], ["-m", "agentkernel.cli", "run"])
    )
    assert plain.returncode == wrapped.returncode == 1
    assert wrapped.stdout == plain.stdout
    assert wrapped.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]
    assert says in plain.stderr
    assert ("not reached: anything, without" in wrapped.stderr) is (config is None)
