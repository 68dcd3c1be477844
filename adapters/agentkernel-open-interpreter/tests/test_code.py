"""Code: alike for the program, whatever the language; a syscall of the kind ``code`` from its first output to its last."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel.api import Call, LLMCall


def _without_lines(chunks: list[Any]) -> str:
    """What is printed. Subprocess languages say in no fixed order which line is active, and cut their output anyhow."""
    return "".join(
        chunk["content"]
        for chunk in chunks
        if chunk.get("format") == "output" and "content" in chunk
    )


def test_python_keeps_its_state_between_blocks(lab: Any) -> None:
    def chat() -> Any:
        return lab.interpreter().chat("compute", display=False)

    run = lab.both(
        chat, [lab.execute("x = 6", "python"), lab.execute("print(x * 7)", "python"), "thanks"]
    )
    assert [message["content"] for message in run.value if message["role"] == "computer"] == [
        "",
        "42\n",
    ]
    assert [call.arguments for call in run.calls("code")] == [
        {"language": "python", "code": "x = 6"},
        {"language": "python", "code": "print(x * 7)"},
    ]


def test_python_that_fails_is_alike(lab: Any) -> None:
    run = lab.both(
        lambda: lab.interpreter().chat("compute", display=False),
        [lab.execute("print('before')\n1 / 0", "python"), "oh"],
    )
    assert "ZeroDivisionError: division by zero" in run.value[1]["content"]
    assert [outcome.error for _, outcome in run.syscalls] == [None] * 3


@pytest.mark.parametrize(
    ("language", "code", "printed"),
    [
        ("shell", "echo one; exit_code() { return 3; }; exit_code; echo $?", "one\n3\n"),
        ("bash", "cd /; pwd", "/\n"),
        ("shell", "exit 3", ""),
    ],
)
def test_shell_is_alike(lab: Any, language: str, code: str, printed: str) -> None:
    if code == "exit 3":  # the shell is gone, and Open Interpreter waits for its end for ever
        code = "sh -c 'exit 3'"

    def execute() -> Any:
        computer = lab.interpreter().computer
        return _without_lines(list(computer.run(language, code, stream=True))).replace("\n\n", "\n")

    run = lab.both(execute, list)
    assert printed in run.value
    assert len(run.calls("code")) == 1


def test_html_is_alike(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "interpreter.core.computer.terminal.languages.html.html_to_png_base64", lambda code: "png"
    )
    run = lab.both(lambda: lab.interpreter().computer.run("html", "<b>"), list)
    assert [message["type"] for message in run.value] == ["console", "code", "image"]
    assert len(run.calls("code")) == 1


def test_language_that_is_not_there_is_alike(lab: Any) -> None:
    run = lab.both(
        lambda: lab.interpreter().chat("compute", display=False),
        lab.code_then_thanks(True, "STOP", "cobol"),
    )
    assert "`cobol` disabled or not supported." in run.value[1]["content"]
    assert run.calls("code") == []


@pytest.mark.parametrize("stream", [True, False])
def test_computer_used_without_a_chat_is_alike(lab: Any, stream: bool) -> None:
    def execute() -> Any:
        output = lab.interpreter().computer.run("loud", "a\nb", stream=stream, display=True)
        return type(output), list(output)

    run = lab.both(execute, list)
    assert run.printed == "A\nB\n"
    (call,) = run.calls("code")
    assert (call.name, call.context.agent) == ("computer.run", "interpreter")


def test_syscall_lasts_until_the_last_output(lab: Any) -> None:
    with lab.wrap() as (kernel, hooks):
        output = lab.interpreter().computer.run("up", "a\nb", stream=True)
        next(output)
        assert kernel.stats().running == 1
        assert hooks.finished == []
        list(output)
        assert kernel.stats().running == 0
    assert len(hooks.finished) == 1


def test_code_that_is_left_is_stopped(lab: Any) -> None:
    def execute() -> Any:
        computer = lab.interpreter().computer
        output = computer.run("up", "a\nb", stream=True)
        next(output)
        output.close()
        (language,) = computer.terminal._active_languages.values()
        return language.stopped, list(output)

    run = lab.both(execute, list)
    assert run.value == (1, [])
    assert [outcome.error for _, outcome in run.syscalls] == [None]


def test_language_that_raises_has_ended_its_syscall(lab: Any) -> None:
    def execute() -> Any:
        return lab.interpreter().computer.run("up", "a\nraise")

    run = lab.both(execute, list)
    assert str(run.error) == "cannot go up"
    assert [type(outcome.error) for _, outcome in run.syscalls] == [RuntimeError]


def test_language_that_raises_is_told_to_the_llm(lab: Any) -> None:
    """As text of a traceback, in which the kernel's own lines are."""

    def chat() -> Any:
        return lab.interpreter().chat("compute", display=False)

    script = [lab.execute("raise"), "oh"]
    plain, wrapped = lab.plain(chat, script), lab.wrapped(chat, script)
    assert [_last_line(message) for message in wrapped.value] == [
        _last_line(message) for message in plain.value
    ]
    assert "RuntimeError: cannot go up" in wrapped.value[1]["content"]


def _last_line(message: dict[str, Any]) -> tuple[str, str]:
    return message["type"], message["content"].strip().splitlines()[-1]


def test_code_that_runs_before_code_is_a_syscall_of_its_own(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open Interpreter imports its computer API into the first Python that names it."""

    def execute() -> Any:
        made = lab.interpreter(import_computer_api=True)
        up = made.computer.languages[-1]
        up.name = "python"
        made.computer.languages = [up]
        return made.computer.run("python", "computer")

    run = lab.both(execute, list)
    assert [call.arguments["code"].splitlines()[-1] for call in run.calls("code")] == [
        "computer = interpreter.computer",
        "computer",
    ]


def test_several_interpreters_at_once_have_shells_of_their_own(lab: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def one(number: int) -> str:
        computer = lab.interpreter().computer
        computer.run("shell", f"mine={number}")
        return _without_lines(computer.run("shell", "echo $mine")).strip()

    def several() -> Any:
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(one, range(3)))

    run = lab.both(several, list)
    assert run.value == ["0", "1", "2"]
    assert len(run.calls("code")) == 6


def test_apt_install_is_a_code_syscall_where_open_interpreter_takes_it_from_the_shell(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interpreter.core.computer.terminal.terminal import Terminal

    commands: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(command))
    takes = hasattr(Terminal, "sudo_install")

    def execute() -> Any:
        made = lab.interpreter()
        up = made.computer.languages[-1]
        up.name = "shell"
        made.computer.languages = [up]
        return made.computer.run("shell", "apt install tree")

    run = lab.both(execute, list)
    assert commands == [["apt", "install", "-y", "tree"]] * 2 * takes
    assert [call.arguments["code"] for call in run.calls("code")] == [
        "apt install -y tree" if takes else "apt install tree"
    ]


def test_code_is_nobodys_llm_call(lab: Any) -> None:
    run = lab.wrapped(lambda: lab.interpreter().computer.run("up", "a"), list)
    calls: list[Call] = [call for call, _ in run.syscalls]
    assert not any(isinstance(call, LLMCall) for call in calls)
