"""Evaluate the weights as shipped: ``python training/evaluate.py [--weights DIR] [--seed S] [--count N]``.

Greedy decoding with transformers' ``generate``; nothing is repaired or constrained. The questions cannot occur in training:
``agentkernel_core_nano.questions`` keeps texts and names apart by digest, whatever the seeds. A call counts when every
character of it is right, an answer likewise. In a chain the model's own call is run by the real tool, and its own answer
must be the right one for what the tool said.
"""

# ruff: noqa: T201 - a script prints its table
from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentkernel_core_nano import weights_path
from agentkernel_core_nano.questions import KINDS, NO_TOOL, Question, generate
from agentkernel_core_nano.tools import make_tools, run

__all__ = ["Model", "Score", "answers", "calls", "chains", "other_wordings", "refusals"]

Message = dict[str, Any]
BEGIN, END = "<tool_call>\n", "\n</tool_call>"


class Prompt(NamedTuple):
    """Messages, and the names of the tools that are offered."""

    messages: list[Message]
    tools: Sequence[str]


class Model:
    """The weights of a folder, in float32, with greedy decoding."""

    def __init__(self, weights: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(weights)
        self._model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)

    def say(self, prompts: Sequence[Prompt], batch: int = 50) -> list[str]:
        """What the assistant says to each of the prompts."""
        order = sorted(range(len(prompts)), key=lambda at: len(str(prompts[at].messages)))
        said = dict[int, str]()
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            said.update(zip(chosen, self._batch([prompts[index] for index in chosen]), strict=True))
        return [said[at] for at in range(len(prompts))]

    @torch.inference_mode()
    def _batch(self, prompts: Sequence[Prompt]) -> list[str]:
        rows = self._tokenizer(
            [self.text(prompt) for prompt in prompts],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        ids, mask = rows["input_ids"], rows["attention_mask"]
        made = self._model.generate(  # type: ignore[misc]
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=200
        )
        texts = self._tokenizer.batch_decode(made[:, ids.shape[1] :])
        return [text.split("<|im_end|>")[0] for text in texts]

    def text(self, prompt: Prompt) -> str:
        """The prompt as the model reads it."""
        tools: list[Any] = [
            {"type": "function", "function": {"name": name}} for name in prompt.tools
        ]
        rendered = self._tokenizer.apply_chat_template(
            prompt.messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
        assert isinstance(rendered, str)
        return rendered


class Score:
    """How many were right of how many, by kind; and what went wrong."""

    def __init__(self, judged: Iterable[tuple[Question, str, str]]) -> None:
        self.right, self.asked = Counter[str](), Counter[str]()
        self.wrong: list[tuple[str, str, str]] = []
        for question, found, expected in judged:
            self.asked[question.kind] += 1
            self.right[question.kind] += found == expected
            if found != expected:
                self.wrong.append((question.text, found, expected))

    @property
    def share(self) -> float:
        """Right ones of all."""
        return self.right.total() / self.asked.total()


def calls(model: Model, questions: Sequence[Question]) -> Score:
    """Exact tool calls for questions, with all tools offered."""
    said = model.say([Prompt([_user(q)], KINDS) for q in questions])
    expected = [f"{BEGIN}{q.call}{END}" for q in questions]
    return Score(zip(questions, said, expected, strict=True))


def answers(
    model: Model, questions: Sequence[Question], result: Callable[[Question], str]
) -> Score:
    """Exact answers once the right call brought ``result``."""
    results = [result(q) for q in questions]
    prompts = [
        Prompt([*_called(q, q.call), _tool(r)], KINDS)
        for q, r in zip(questions, results, strict=True)
    ]
    expected = [q.answer(r) for q, r in zip(questions, results, strict=True)]
    return Score(zip(questions, model.say(prompts), expected, strict=True))


def chains(model: Model, questions: Sequence[Question], earlier: int = 0) -> Score:
    """Whole chains: the model's call is run by the real tool, and the model answers; a chain with a wrong call is wrong.

    ``earlier`` of the other questions, with their calls, results and answers, stand before each.
    """
    history = [_history(questions, at, earlier) for at in range(len(questions))]
    asked = [
        Prompt([*before, _user(q)], KINDS) for before, q in zip(history, questions, strict=True)
    ]
    said = [text.removeprefix(BEGIN).removesuffix(END) for text in model.say(asked)]
    results = [_run(call) for call in said]
    prompts = [
        Prompt([*before, *_called(q, call), _tool(result)], KINDS)
        for before, q, call, result in zip(history, questions, said, results, strict=True)
    ]
    final = model.say(prompts)
    expected = [q.answer(_run(q.call)) for q in questions]
    rows = zip(questions, said, final, expected, strict=True)
    return Score((q, f"{call} {answer}", f"{q.call} {right}") for q, call, answer, right in rows)


def refusals(model: Model, questions: Sequence[Question], *, others: bool) -> Score:
    """What is said where the one tool that fits is not offered: all ``others`` are, or none."""
    prompts = [
        Prompt([_user(q)], [name for name in KINDS if others and name != q.tool]) for q in questions
    ]
    return Score(zip(questions, model.say(prompts), [NO_TOOL] * len(questions), strict=True))


def other_wordings() -> list[Question]:
    """Questions that no pattern made: how far the model goes beyond the sentences that it learned."""
    lines = (Path(__file__).parent / "other_wordings.jsonl").read_text().splitlines()
    return [Question(row["tool"], **row) for row in map(json.loads, lines)]


def _history(questions: Sequence[Question], at: int, earlier: int) -> list[Message]:
    messages: list[Message] = []
    for step in range(earlier, 0, -1):
        question = questions[at - step]
        result = _run(question.call)
        answer = {"role": "assistant", "content": question.answer(result)}
        messages += [*_called(question, question.call), _tool(result), answer]
    return messages


def _user(question: Question) -> Message:
    return {"role": "user", "content": question.text}


def _tool(result: str) -> Message:
    return {"role": "tool", "tool_call_id": "call_1", "content": result}


def _called(question: Question, call: str) -> list[Message]:
    """The question and the call as OpenAI's API hands it back: its arguments are JSON text."""
    name, arguments = _parsed(call)
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    tool_call = {"id": "call_1", "type": "function", "function": function}
    return [_user(question), {"role": "assistant", "content": None, "tool_calls": [tool_call]}]


def _parsed(call: str) -> tuple[str, dict[str, Any]]:
    try:
        parsed = json.loads(call)
        return parsed["name"], parsed["arguments"]
    except (ValueError, TypeError, KeyError):
        return "none", {}


def _run(call: str) -> str:
    return run(make_tools({"door pin": "4417", "locker code": "93", "dog": "Rex"}), *_parsed(call))


def measure(model: Model, seed: int, count: int, earlier: int) -> Iterator[tuple[str, Score]]:
    """All scores by name: ``count`` held-out questions and half as many in each other row."""
    half = max(2, count // 2)
    held_out = generate(seed, count, held_out=True)
    unseen = generate(seed + 1, half, unseen_names=True)
    mixed = generate(seed + 2, half // 2, held_out=True)
    mixed += generate(seed + 3, half - half // 2, unseen_names=True)
    yield "exact calls, held-out questions", calls(model, held_out)
    yield "exact calls, names never seen", calls(model, unseen)
    yield "exact calls, other wordings, written by hand", calls(model, other_wordings())
    yield "whole chains, half of them with names never seen", chains(model, mixed)
    yield f"whole chains after {earlier} earlier questions", chains(model, mixed, earlier)
    reported = answers(model, mixed, lambda q: "Error: the service is down")
    yield "answers that report an error", reported
    yield "no tool is offered, and that is said", refusals(model, mixed, others=False)
    yield "only the fitting tool is missing, and that is said", refusals(model, mixed, others=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=weights_path())
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--earlier", type=int, default=2, help="questions before those of one row")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show", type=int, default=0, help="wrong ones to print of each row")
    options = parser.parse_args()
    rows = []
    for name, score in measure(
        Model(options.weights), options.seed, options.count, options.earlier
    ):
        by_kind = {kind: score.right[kind] / n for kind, n in sorted(score.asked.items())}
        rows.append(
            {"name": name, "share": score.share, "count": score.asked.total(), "by_kind": by_kind}
        )
        print(f"{name:52} {score.share:6.1%} of {score.asked.total()}")
        print(
            "   " + "  ".join(f"{kind} {share:.1%}" for kind, share in by_kind.items()), flush=True
        )
        for text, found, expected in score.wrong[: options.show]:
            print(f"   {text!r}\n      found    {found!r}\n      expected {expected!r}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
