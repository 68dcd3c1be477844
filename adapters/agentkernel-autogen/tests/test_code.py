"""Code execution: alike for the program, syscalls of the kind ``code`` for the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BLOCKS = "```python\nprint(6 * 7)\n```\nand\n```sh\necho done\n```"


def _chat(autogen: Any, lab: Any, **execution: Any) -> Any:
    assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
    user = autogen.UserProxyAgent(
        "user", human_input_mode="NEVER", code_execution_config=execution, default_auto_reply="?"
    )
    return user.initiate_chat(assistant, message="compute", max_turns=2)


def _executor(**settings: Any) -> Any:
    from autogen.coding import LocalCommandLineCodeExecutor

    return LocalCommandLineCodeExecutor(work_dir="work", **settings)


def test_code_of_an_executor_is_alike(autogen: Any, lab: Any) -> None:
    Path("work").mkdir()
    run = lab.both(lambda: _chat(autogen, lab, executor=_executor()), [BLOCKS, "thanks"])
    assert "42" in run.value.chat_history[2]["content"]
    (call,) = run.calls("code")
    assert call.name == "LocalCommandLineCodeExecutor"
    assert [block["language"] for block in call.arguments["code_blocks"]] == ["python", "sh"]
    assert call.context.agent == "user"
    assert call.context.program == run.calls("llm")[0].context.program


def test_code_the_older_way_is_alike(autogen: Any, lab: Any) -> None:
    run = lab.both(
        lambda: _chat(autogen, lab, use_docker=False, work_dir="work"), [BLOCKS, "thanks"]
    )
    assert "42" in run.value.chat_history[2]["content"]
    assert [(call.name, call.arguments["language"]) for call in run.calls("code")] == [
        ("run_code", "python"),
        ("run_code", "sh"),
    ]
    assert {call.context.agent for call in run.calls("code")} == {"user"}


@pytest.mark.parametrize("older", [False, True])
def test_failing_code_is_alike(autogen: Any, lab: Any, older: bool) -> None:
    Path("work").mkdir()

    def chat() -> Any:
        way = {"use_docker": False, "work_dir": "work"} if older else {"executor": _executor()}
        return _chat(autogen, lab, **way)

    code = "```python\nraise SystemExit(3)\n```\n```python\nprint('never')\n```"
    run = lab.both(chat, [code, "oh"])
    assert "exitcode: 3 (execution failed)" in run.value.chat_history[2]["content"]
    assert len(run.calls("code")) == 1


@pytest.mark.parametrize("older", [False, True])
def test_code_that_times_out_is_alike(autogen: Any, lab: Any, older: bool) -> None:
    Path("work").mkdir()

    def chat() -> Any:
        if older:
            return _chat(autogen, lab, use_docker=False, work_dir="work", timeout=1)
        return _chat(autogen, lab, executor=_executor(timeout=1))

    run = lab.both(chat, ["```python\nimport time\ntime.sleep(2)\n```", "oh"])
    assert "imeout" in run.value.chat_history[2]["content"]


def test_unknown_language_is_alike(autogen: Any, lab: Any) -> None:
    Path("work").mkdir()
    lab.both(lambda: _chat(autogen, lab, executor=_executor()), ["```cobol\nSTOP\n```", "oh"])


def test_executor_used_without_agents_is_alike(autogen: Any, lab: Any) -> None:
    from autogen.coding import CodeBlock

    Path("work").mkdir()
    block = CodeBlock(language="python", code="print(1)")
    run = lab.both(lambda: _executor().execute_code_blocks(code_blocks=[block]), list)
    assert run.value.output == "1\n"
    assert run.calls("code")[0].context.agent == "main"


def test_blocks_from_a_generator_are_executed_alike(autogen: Any, lab: Any) -> None:
    from autogen.coding import CodeBlock

    Path("work").mkdir()

    def execute() -> Any:
        blocks = (CodeBlock(language="python", code=f"print({number})") for number in range(2))
        return _executor().execute_code_blocks(blocks)

    run = lab.both(execute, list)
    assert run.value.output == "0\n1\n"
    assert [call.arguments for call in run.calls("code")] == [{"code_blocks": []}]


def test_executor_that_extends_autogens_is_one_syscall(autogen: Any, lab: Any) -> None:
    from autogen.coding import CodeBlock, LocalCommandLineCodeExecutor

    class Loud(LocalCommandLineCodeExecutor):  # type: ignore[misc]
        def execute_code_blocks(self, code_blocks: Any) -> Any:
            return super().execute_code_blocks(code_blocks)

    Path("work").mkdir()
    block = CodeBlock(language="python", code="print(1)")
    run = lab.both(lambda: Loud(work_dir="work").execute_code_blocks([block]), list)
    assert [call.name for call in run.calls("code")] == ["Loud"]


def test_run_code_that_is_overridden_is_seen_where_it_calls_super(autogen: Any, lab: Any) -> None:
    class Loud(autogen.UserProxyAgent):  # type: ignore[misc, name-defined]
        def run_code(self, code: str, **kwargs: Any) -> Any:
            return super().run_code("print('before')\n" + code, **kwargs)

    def execute() -> Any:
        config = {"use_docker": False, "work_dir": "work"}
        user = Loud("user", human_input_mode="NEVER", code_execution_config=config)
        return user.execute_code_blocks([("python", "print(1)")])

    run = lab.both(execute, list)
    assert run.value == (0, "\nbefore\n1\n")
    assert len(run.calls("code")) == 1
