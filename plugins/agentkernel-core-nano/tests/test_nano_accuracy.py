"""The shipped weights do what the model card says: a bounded sample of the evaluation."""

from __future__ import annotations

import pytest
import torch
from evaluate import Model, answers, calls, chains, refusals

from agentkernel_core_nano import weights_path
from agentkernel_core_nano.questions import generate


@pytest.fixture(scope="module")
def model():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Model(weights_path())
    torch.set_num_threads(threads)


def test_held_out_questions_get_the_exact_call(model):
    score = calls(model, generate(501, 200, held_out=True))
    assert score.share >= 0.95, score.wrong


def test_names_that_training_never_saw_are_copied(model):
    score = calls(model, generate(502, 100, unseen_names=True))
    assert score.share >= 0.85, score.wrong


def test_whole_chains_end_in_the_right_answer(model):
    score = chains(model, generate(503, 50, held_out=True), earlier=1)
    assert score.share >= 0.85, score.wrong


def test_errors_are_reported(model):
    score = answers(model, generate(504, 30, held_out=True), lambda q: "Error: the service is down")
    assert score.share >= 0.85, score.wrong


def test_without_tools_it_says_that_none_fits(model):
    score = refusals(model, generate(505, 40, held_out=True), others=False)
    assert score.share >= 0.95, score.wrong
