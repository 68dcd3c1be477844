"""The ways of answering many requests with one local model that `local_core.py` compares.

All are greedy and end no answer early, so that each produces exactly the tokens that were asked for.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from _local import Bench, Request, greedy
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation.configuration_utils import ContinuousBatchingConfig

PAD = 0
PAGE_TOKENS = 32


@dataclass(frozen=True)
class Answer:
    """Generated tokens, and seconds from the arrival of all requests to this answer's end."""

    tokens: tuple[int, ...]
    latency_s: float


class Generator(ABC):
    """One way of answering requests that arrive all at once."""

    @abstractmethod
    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """All answers, in the order of the requests."""

    def close(self) -> None:
        """Give back what it holds."""


class Sequential(Generator):
    """`model.generate`, one request after the other."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        began_s = time.perf_counter()
        return [generated(self._model, request, began_s) for request in requests]


class Threads(Generator):
    """`model.generate` in a thread for each request, all at once: agents that share a model without a kernel."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        began_s = time.perf_counter()

        def run(place: int, request: Request) -> None:
            answers[place] = generated(self._model, request, began_s)

        threads = [threading.Thread(target=run, args=each) for each in enumerate(requests)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [answers[place] for place in range(len(requests))]


class StaticBatch(Generator):
    """`model.generate` of all requests as one batch, padded on the left; it runs until the longest answer is done."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        began_s = time.perf_counter()
        width = max(len(request.prompt) for request in requests)
        ids = torch.full((len(requests), width), PAD, device=self._model.device)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(requests):
            ids[row, width - len(request.prompt) :] = torch.tensor(request.prompt)
            mask[row, width - len(request.prompt) :] = 1
        found = self._model.generate(
            ids,
            attention_mask=mask,
            generation_config=greedy_config(max(request.new_tokens for request in requests)),
        )
        latency_s = time.perf_counter() - began_s
        return [
            Answer(tuple(row[width : width + request.new_tokens].tolist()), latency_s)
            for row, request in zip(found, requests, strict=True)
        ]


class ContinuousBatching(Generator):
    """transformers' own continuous batching: a manager that runs on.

    The options are the best of those tried on CPU, by tokens per CPU-second of this request mix with 16 and 32 requests
    of 3M and 25M parameters and 16 of 100M: pages of 16, 32, 64 and 256 tokens; 64, 128, 256, 512, 1024 and 8192 tokens
    in a batch; 2, 4, 8, 16 and any number of requests in a batch (its attention is one masked product of all queries
    with all keys, so that many requests at once cost more than they save); SDPA and eager attention; FIFO and prefill
    first; with and without block sharing; and, with 3M, compiled, which was much slower: shapes change from step to step.
    On a GPU it chooses pages, batch and attention itself.
    """

    def __init__(self, model: PreTrainedModel, longest_tokens: int) -> None:
        """Room for 32 requests of `longest_tokens` tokens."""
        config = ContinuousBatchingConfig()
        if model.device.type == "cpu":
            config = ContinuousBatchingConfig(
                page_size=PAGE_TOKENS,
                num_blocks=32 * -(-longest_tokens // PAGE_TOKENS),
                max_batch_tokens=128,
                max_requests_per_batch=8,
                allow_block_sharing=True,
                auto_switch_to_flash=False,
                scheduler_type="fifo",
            )
        self._manager = model.init_continuous_batching(
            generation_config=greedy_config(1, eos_id=-1), continuous_batching_config=config
        )
        self._manager.start()

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        began_s = time.perf_counter()
        places = {
            self._manager.add_request(list(request.prompt), max_new_tokens=request.new_tokens): at
            for at, request in enumerate(requests)
        }
        answers: dict[int, Answer] = {}
        while len(answers) < len(requests):
            result = self._manager.get_result(timeout=1)
            if result is None:
                if not self._manager.is_running():
                    raise RuntimeError("transformers' continuous batching ended early")
            elif result.is_finished():
                latency_s = time.perf_counter() - began_s
                answer = Answer(tuple(result.generated_tokens), latency_s)
                answers[places[result.request_id]] = answer
        return [answers[place] for place in range(len(requests))]

    def close(self) -> None:
        self._manager.stop(block=True)
        self._manager.destroy()


class Ours(Generator):
    """The engine of the core `transformers`."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        began_s = time.perf_counter()
        generations = [greedy(request) for request in requests]
        self._bench.answer(generations)
        return [
            Answer(tuple(each.tokens), self._bench.ended_s[id(each)] - began_s)
            for each in generations
        ]


def greedy_config(new_tokens: int, eos_id: int | None = None) -> GenerationConfig:
    return GenerationConfig(
        do_sample=False, max_new_tokens=new_tokens, eos_token_id=eos_id, pad_token_id=PAD
    )


def generated(model: PreTrainedModel, request: Request, began_s: float) -> Answer:
    """One request through `model.generate`."""
    ids = torch.tensor([request.prompt], device=model.device)
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        generation_config=greedy_config(request.new_tokens),
    )
    tokens = tuple(found[0, len(request.prompt) :].tolist())
    return Answer(tokens, time.perf_counter() - began_s)
