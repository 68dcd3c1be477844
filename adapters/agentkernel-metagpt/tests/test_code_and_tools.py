"""Notebook cells, scripts and texts are code calls; web search and pages are tool calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("metagpt")


def executed(run: Any) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments.get("code")) for call in run.calls("code")]


def test_notebook_cells_are_the_same(lab: Any) -> None:
    from metagpt.actions.di.execute_nb_code import ExecuteNbCode

    async def execute() -> Any:
        notebook = ExecuteNbCode()
        notebook.nb.cells.clear()  # MetaGPT gives all of them one notebook
        try:
            seen = [
                await notebook.run("answer = 6 * 7\nprint(answer)"),
                await notebook.run("answer + 1", language="python"),
                await notebook.run("# a heading", "markdown"),
            ]
            seen.append((await notebook.run("1 / 0"))[1])
        finally:
            await notebook.terminate()
        return seen, [cell.source for cell in notebook.nb.cells]

    run = lab.both(execute, [])
    assert run.error is None
    assert run.value[0] == [("42\n", True), ("43", True), ("# a heading", True), False]
    assert executed(run) == [
        ("ExecuteNbCode", "answer = 6 * 7\nprint(answer)"),
        ("ExecuteNbCode", "answer + 1"),
        ("ExecuteNbCode", "1 / 0"),
    ]


def test_language_that_a_notebook_does_not_have_is_metagpts_error(lab: Any) -> None:
    from metagpt.actions.di.execute_nb_code import ExecuteNbCode

    async def execute() -> Any:
        return await ExecuteNbCode().run("ls", language="bash")

    run = lab.both(execute, [])
    assert isinstance(run.error, ValueError)
    assert run.syscalls == []


PLAN = """```json
[{"task_id": "1", "dependent_task_ids": [], "instruction": "multiply", "task_type": "other"}]
```"""


def interpret(lab: Any, **settings: Any) -> Any:
    from metagpt.roles.di.data_interpreter import DataInterpreter

    async def work() -> Any:
        role = DataInterpreter(context=lab.context(), **settings)
        role.execute_code.nb.cells.clear()
        try:
            answer = await role.run("how much is 6 * 7?")
        finally:
            await role.execute_code.terminate()
        return (
            answer.content,
            [(message.content, message.role) for message in role.rc.memory.get()],
            [(task.code, task.result) for task in role.planner.plan.tasks],
            role.llm.get_costs(),
        )

    return work


def test_data_interpreter_with_a_plan_is_the_same(lab: Any) -> None:
    script = [PLAN, "```python\nprint(6 * 8 / 0)\n```", "```python\nprint(6 * 7)\n```"]
    run = lab.both(interpret(lab), script)
    assert run.error is None
    assert run.value[2] == [("print(6 * 7)\n", "42\n")]
    assert [code for _, code in executed(run)] == ["print(6 * 8 / 0)\n", "print(6 * 7)\n"]
    assert len(run.calls("llm")) == len(run.requests) == 3
    assert {call.context.agent for call, _ in run.syscalls} == {"David"}
    assert len({call.context.program for call, _ in run.syscalls}) == 1


def test_data_interpreter_that_reacts_is_the_same(lab: Any) -> None:
    def thought(more: bool) -> str:
        return "```json\n" + json.dumps({"thoughts": "so far so good", "state": more}) + "\n```"

    script = [
        "```python\nx = 6 * 7\n```",
        thought(True),
        "```python\nprint(x)\n```",
        thought(False),
    ]
    run = lab.both(interpret(lab, react_mode="react"), script)
    assert run.error is None
    assert [code for _, code in executed(run)] == ["x = 6 * 7\n", "print(x)\n"]
    assert len(run.calls("llm")) == len(run.requests) == 4


def test_text_is_executed_in_this_process(lab: Any) -> None:
    from metagpt.actions.run_code import RunCode

    async def execute() -> Any:
        return [
            await RunCode.run_text("result = 6 * 7"),
            await RunCode.run_text(code="result = 1 / 0"),
            await RunCode().run_text("import os; result = os.getpid()"),
        ]

    run = lab.both(execute, [])
    assert run.value[:2] == [(42, ""), ("", "division by zero")]
    assert [call.arguments["code"] for call in run.calls("code")] == [
        "result = 6 * 7",
        "result = 1 / 0",
        "import os; result = os.getpid()",
    ]


@pytest.fixture
def _nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each script MetaGPT installs pytest with pip."""
    from metagpt.actions.run_code import RunCode

    monkeypatch.setattr(
        RunCode, "_install_dependencies", staticmethod(lambda working_directory, env: None)
    )


@pytest.mark.usefixtures("_nothing_is_installed")
def test_script_is_the_same(lab: Any, tmp_path: Path) -> None:
    from metagpt.actions.run_code import RunCode
    from metagpt.schema import RunCodeContext

    (tmp_path / "main.py").write_text("import sys; print('out'); print('err', file=sys.stderr)")
    command = [sys.executable, "main.py"]

    async def execute() -> Any:
        context = RunCodeContext(
            mode="script",
            command=command,
            working_directory=str(tmp_path),
            code_filename="main.py",
        )
        action = RunCode(i_context=context, context=lab.context())
        return await action.run(), await action.run_script(tmp_path, [], command)

    run = lab.both(execute, ["PASS"])
    assert run.error is None
    assert run.value[1] == ("out\n", "err\n")
    assert run.value[0].summary == "PASS"
    assert [(call.name, call.arguments["command"]) for call in run.calls("code")] == [
        ("RunCode", command),
        ("RunCode", command),
    ]


def test_search_and_pages_are_tool_calls(lab: Any) -> None:
    from metagpt.tools import WebBrowserEngineType
    from metagpt.tools.search_engine import SearchEngine
    from metagpt.tools.web_browser_engine import WebBrowserEngine

    async def find(query: str, max_results: int, as_string: bool) -> str:
        return f"{max_results} results for {query}"

    async def page(*urls: str) -> Any:
        return urls

    async def work() -> Any:
        search = SearchEngine.from_search_func(find)
        browser = WebBrowserEngine(engine=WebBrowserEngineType.CUSTOM, run_func=page)
        return [
            await search.run("bees", max_results=3),
            await search.run(query="bees"),
            await browser.run("http://a.example"),
            await browser.run("http://a.example", "http://b.example"),
        ]

    run = lab.both(work, [])
    assert run.error is None
    assert [(call.name, call.arguments) for call in run.calls("tool")] == [
        ("SearchEngine", {"query": "bees"}),
        ("SearchEngine", {"query": "bees"}),
        ("WebBrowserEngine", {"urls": ["http://a.example"]}),
        ("WebBrowserEngine", {"urls": ["http://a.example", "http://b.example"]}),
    ]


@pytest.mark.parametrize("ignoring", [True, False])
def test_search_that_fails_fails_the_same(lab: Any, ignoring: bool) -> None:
    from metagpt.tools.search_engine import SearchEngine

    class OutOfOrder(Exception):
        pass

    async def find(query: str, max_results: int, as_string: bool) -> str:
        raise OutOfOrder(query)

    async def work() -> Any:
        return await SearchEngine.from_search_func(find).run("bees", ignore_errors=ignoring)

    run = lab.both(work, [])
    assert run.value == ("" if ignoring else None)
    assert type(run.error) is (type(None) if ignoring else OutOfOrder)
    assert len(run.calls("tool")) == 1
