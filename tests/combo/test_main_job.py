"""The demo `examples/main_job.py`: what it calls right, what it objects to, and a server that does not start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from checkout import ROOT

from agentkernel_core_nano import weights_path
from agentkernel_core_nano.questions import Question

SUM = Question("calculator", "What is 2+2?", "calculator", {"expression": "2+2"})
RIGHT, WRONG = "2+2 = 4", "2+2 = 5"

Outcome = Callable[..., Any]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "examples")
    import main_job

    return main_job


@pytest.fixture
def runs(job: ModuleType) -> Outcome:
    """One run for each answer to the same question; an exception is a program that failed."""

    def make(*answers: str | Exception) -> list[Any]:
        return [
            job.Run(
                "a column",
                [
                    job.Result(
                        question=SUM,
                        answer=None if isinstance(answer, Exception) else answer,
                        llm_calls=2,
                        error=repr(answer) if isinstance(answer, Exception) else None,
                        began_s=0.0,
                        ended_s=1.0,
                    )
                ],
            )
            for answer in answers
        ]

    return make


def test_right_is_what_the_right_tool_says(runs: Outcome) -> None:
    assert [run.right for run in runs(RIGHT, WRONG, RuntimeError("no"))] == [1, 0, 0]


def test_same_right_and_wrong_answers_are_no_problem(job: ModuleType, runs: Outcome) -> None:
    assert job.problems(runs(RIGHT, RIGHT, RIGHT)) is None
    assert job.problems(runs(WRONG, WRONG, WRONG)) is None


def test_what_the_server_alone_gets_wrong_is_no_problem(job: ModuleType, runs: Outcome) -> None:
    assert job.problems(runs(RuntimeError("500"), WRONG, RIGHT)) is None


def test_wrong_answer_under_the_kernel_alone_is_a_problem(job: ModuleType, runs: Outcome) -> None:
    assert f"{SUM.text!r}: {WRONG!r}" in job.problems(runs(WRONG, RIGHT, WRONG))


def test_program_that_fails_under_the_kernel_is_a_problem(job: ModuleType, runs: Outcome) -> None:
    assert "CancelledCall" in job.problems(runs(WRONG, WRONG, RuntimeError("CancelledCall")))


def test_server_gets_the_weights_and_the_form_of_tool_calls(
    job: ModuleType, tmp_path: Path
) -> None:
    from tool_agents import server

    server.prepare(weights_path(), tmp_path / "nano")
    config = json.loads((tmp_path / "nano/tokenizer_config.json").read_text("utf-8"))
    assert config["response_template"]["fields"]["tool_calls"]
    shipped = (weights_path() / "model.safetensors").read_bytes()
    assert (tmp_path / "nano/model.safetensors").read_bytes() == shipped


def test_server_that_does_not_start_says_why(job: ModuleType) -> None:
    from tool_agents import server

    with (
        pytest.raises(RuntimeError, match=r"(?s)status 2\..*Did you mean"),
        server.serve(weights_path(), name="nano", options=["--no-compil"], threads=1),
    ):
        pytest.fail("it started")
