"""Train `nano`: ``python training/train.py --seed 1 --out DIR``.

Llama architecture, fp32 on one CPU thread, loss on the assistant's tokens alone, Muon and AdamW, a cosine schedule with
warm-up. The seed fixes the data, their order and the first weights; time plays no part.
"""

# ruff: noqa: T201 - a script prints its table
from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from dialogues import TOOLS, Dialogue, Encoder, dialogues, single
from tokenizer import END, build
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from agentkernel_core_nano.questions import Question, generate
from agentkernel_core_nano.tools import make_tools, run

TEMPLATE = Path(__file__).parents[1] / "src/agentkernel_core_nano/weights/chat_template.jinja"
CONTEXT_TOKENS = 4096
BATCH_TOKENS = 4096
STEPS = 2600
PEAK = 3e-3  # learning rate
POOL = 256  # dialogues that are sorted by length together, so that a batch pads little


class Batch(NamedTuple):
    """Rows of dialogues, padded: ``ids``, ``positions`` and ``said`` are [rows, tokens]."""

    ids: Tensor
    positions: Tensor
    said: Tensor


def model_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Four layers of width 192, six heads on two of keys and values, embeddings tied."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.pad_token_id,
    )


def batches(encoder: Encoder, seed: int) -> Iterator[Batch]:
    """The endless batches of a seed, each of at most ``BATCH_TOKENS`` padded tokens."""
    rng, source = random.Random(seed), dialogues(seed)
    while True:
        pool = sorted(
            (encoder.encode(d) for d in islice(source, POOL)), key=lambda row: len(row[0])
        )
        groups: list[list[tuple[list[int], list[bool]]]] = [[]]
        for row in pool:
            if (len(groups[-1]) + 1) * len(row[0]) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        yield from (_padded(group, rng, encoder.start) for group in groups)


def _padded(rows: list[tuple[list[int], list[bool]]], rng: random.Random, start: int) -> Batch:
    length = max(len(ids) for ids, _ in rows)
    batch = Batch(
        torch.zeros(len(rows), length, dtype=torch.long),
        torch.zeros(len(rows), length, dtype=torch.long),
        torch.zeros(len(rows), length, dtype=torch.bool),
    )
    for at, (ids, said) in enumerate(rows):
        batch.ids[at, : len(ids)] = torch.tensor(ids)
        batch.said[at, : len(ids)] = torch.tensor(said)
        batch.positions[at, : len(ids)] = torch.tensor(_positions(ids, rng, start))
    return batch


def _positions(ids: list[int], rng: random.Random, start: int) -> list[int]:
    """Positions that leap before some messages in three rows of ten, as those of a longer conversation would."""
    leap = rng.random() < 0.3
    at = -1
    positions: list[int] = []
    for token in ids:
        if leap and token == start and positions and rng.random() < 0.25:
            at += rng.randrange(1, max(2, (CONTEXT_TOKENS - at - len(ids)) // 3))
        at += 1
        positions.append(at)
    return positions


def loss_of(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Mean cross-entropy of the tokens that the assistant says."""
    hidden = model.model(input_ids=batch.ids, position_ids=batch.positions, use_cache=False)[0]
    said = batch.said[:, 1:]
    logits = model.lm_head(hidden[:, :-1][said])
    return torch.nn.functional.cross_entropy(logits, batch.ids[:, 1:][said])


@torch.no_grad()
def exact(
    model: LlamaForCausalLM, encoder: Encoder, questions: list[Question]
) -> tuple[float, float]:
    """Shares of the calls and answers whose every token is the likeliest one: what greedy decoding gets right."""
    right = [0, 0]
    for question in questions:
        ids, said = encoder.encode(_whole(question))
        row = torch.tensor([ids])
        hit = model(input_ids=row).logits[0, :-1].argmax(-1) == row[0, 1:]
        spoken = torch.tensor(said[1:])
        middle = ids.index(encoder.end, said.index(True))  # the end of the call
        right[0] += bool(hit[:middle][spoken[:middle]].all())
        right[1] += bool(hit[middle:][spoken[middle:]].all())
    return right[0] / len(questions), right[1] / len(questions)


def _whole(question: Question) -> Dialogue:
    result = run(make_tools(), question.tool or "", question.arguments)
    return single(question, result, list(TOOLS))


def learning_rate(step: int, steps: int) -> float:
    """Learning rate of a step: linear to the peak over 100 steps, then a cosine to a hundredth of it."""
    if step < 100:
        return PEAK * (step + 1) / 100
    done = (step - 100) / max(1, steps - 100)
    return PEAK * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices of the layers, AdamW for embeddings and norms; rates of one scale."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=PEAK, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=PEAK, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def take_step(
    model: LlamaForCausalLM, using: list[torch.optim.Optimizer], batch: Batch, lr: float
) -> float:
    """Learn from one batch; its loss."""
    loss = loss_of(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in using:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def ship(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write what the distribution ships: weights in bfloat16, configurations, tokenizer and chat template."""
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=256,
    )
    model.bfloat16().save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Train; log an evaluation and keep a checkpoint every 250 steps; write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    tokenizer = build(TEMPLATE)
    encoder = Encoder(tokenizer)
    model = LlamaForCausalLM(model_config(tokenizer))
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens", flush=True)
    trial = generate(1001, 150, held_out=True), generate(1002, 150, unseen_names=True)
    using, began = optimizers(model), time.monotonic()
    for step, batch in enumerate(islice(batches(encoder, options.seed), options.steps), 1):
        loss = take_step(model, using, batch, learning_rate(step - 1, options.steps))
        if step % 25 == 0:
            print(f"step {step} loss {loss:.4f} after {time.monotonic() - began:.0f} s", flush=True)
        if step % 250 == 0:
            held_out, unseen = (exact(model, encoder, questions) for questions in trial)
            print(
                f"step {step} calls, answers: held out {held_out}, unseen names {unseen}",
                flush=True,
            )
            model.save_pretrained(options.out / "checkpoint")
    ship(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
