"""The paged attention for CUDA, on a CPU: over a stand-in of the kernel's signature, and the kernel's own shape checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from agentkernel_core_transformers import _engine, _varlen
from agentkernel_core_transformers._attention import Segment, SequenceKVStore
from agentkernel_core_transformers._generation import Generation, SamplingParams
from agentkernel_core_transformers._model import LoadedModel
from agentkernel_core_transformers._sequence import KVLayout, Sequence
from agentkernel_core_transformers._varlen import PagedKVStore, padded_varlen_attn

CPU = torch.device("cpu")
LAYOUT = KVLayout("", 2, 2, 8, torch.float32, CPU)
HEADS = 6


def paged(pages: int = 12, kernel: Any = padded_varlen_attn, **more: Any) -> PagedKVStore:
    settings = {"device": CPU, "scale": 0.3, "page_tokens": 8, **more}
    return PagedKVStore(LAYOUT, pages=pages, kernel=kernel, **settings)


def plain() -> SequenceKVStore:
    return SequenceKVStore(scale=0.3, dtype=torch.float32, device=CPU)


def sequence(tokens: int) -> Sequence:
    return Sequence(Generation([1] * tokens, SamplingParams(max_new_tokens=4)), LAYOUT)


def play(store: Any) -> list[torch.Tensor]:
    """Three sequences over some steps, of one token and of chunks; all that the attention gives."""
    random = torch.Generator().manual_seed(0)
    sequences = [sequence(n) for n in (20, 9, 30)]
    for one in sequences:
        store.enter(one)
    a, b, c = sequences
    results = []
    for spans in (
        [(a, 0, 8), (b, 0, 8), (c, 0, 8), (c, 8, 16)],
        [(b, 8, 9), (a, 8, 16), (c, 16, 24)],
        [(b, 9, 10), (a, 16, 20), (c, 24, 30)],
        [(c, 30, 31), (a, 20, 21), (b, 10, 11)],
    ):
        segments, row = [], 0
        for one, start, stop in spans:
            segments.append(Segment(one, start, stop, row))
            row += stop - start
        attention = store.attention(segments)
        rows = row + 3  # and padding
        for layer in range(2):
            kv = torch.randn(rows, 2, 2, 8, generator=random)
            queries = torch.randn(rows, HEADS, 8, generator=random)
            attention.store(layer, kv)
            results.append(attention.attend(layer, queries)[:row])
            results.append(attention.attend_last(layer, queries[:5], [2, 0])[:2])
    return results


def test_pages_give_what_each_sequence_by_itself_gives() -> None:
    for found, expected in zip(play(paged()), play(plain()), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_padding_rows_are_zero() -> None:
    store, one = paged(), sequence(4)
    store.enter(one)
    attention = store.attention([Segment(one, 0, 4, 0)])
    attention.store(0, torch.rand(8, 2, 2, 8))
    assert not attention.attend(0, torch.rand(8, HEADS, 8))[4:].any()


def test_kv_is_read_as_it_was_written() -> None:
    store, one = paged(), sequence(20)
    store.enter(one)
    kv = torch.rand(2, 2, 2, 13, 8)
    store.write(one, 5, kv)
    assert torch.equal(store.read(one, 5, 18), kv)
    assert torch.equal(store.read(one, 7, 9), kv[:, :, :, 2:4])


def test_a_sequence_finds_its_kv_after_others_had_its_pages() -> None:
    store, one = paged(pages=3), sequence(20)
    store.enter(one)
    kv = torch.rand(2, 2, 2, 20, 8)
    store.write(one, 0, kv)
    one.computed = 20
    store.leave(one, keep=True)
    other = sequence(20)
    store.enter(other)
    store.write(other, 0, torch.rand(2, 2, 2, 20, 8))
    store.leave(other, keep=False)
    store.enter(one)
    assert torch.equal(store.read(one, 0, 20), kv)


def test_more_than_the_pool_is_a_memory_error() -> None:
    store = paged(pages=3)
    store.enter(sequence(16))
    with pytest.raises(MemoryError, match="3 pages of KV are needed, 0 are free"):
        store.enter(sequence(16))


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_an_engine_over_pages_gives_the_same_answers(
    family: str,
    start: Any,
    generation: Callable[..., Generation],
    model_of: Callable[..., LoadedModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of(family, torch.float32)

    def answers() -> list[list[int]]:
        harness = start(model, kv_budget_bytes=600 * model.kv_bytes_per_token)
        shared = list(range(70))
        many = [generation(9, prompt=[*shared, i]) for i in range(4)] + [generation(30)]
        many[1].time_slice.suspend_after_tokens = 2
        many[2].time_slice.suspend_after_tokens = 5
        left = list(many)
        while left:
            harness.run(*left)
            left = [one for one in left if one.state == "suspended"]
        assert harness.engine.stats.cached > 0
        return [one.tokens for one in many]

    expected = answers()

    def on_pages(model: LoadedModel, *, budget_tokens: int, slots: int, exact: bool) -> Any:
        return PagedKVStore(
            model.kv_layout,
            pages=budget_tokens // 16 + slots,
            device=CPU,
            scale=model.model.scale,
            kernel=padded_varlen_attn,
            page_tokens=16,
        )

    monkeypatch.setattr(_engine, "make_kv_store", on_pages)
    assert answers() == expected


def test_the_kernel_of_torch_takes_these_arguments() -> None:
    """On tensors without content: its checks of shapes and types, and the shape of what it gives."""
    kernel = _varlen._cuda_kernel(torch.bfloat16)
    assert kernel is not None
    meta = torch.device("meta")
    result = kernel(
        torch.empty(7, HEADS, 64, dtype=torch.bfloat16, device=meta),
        torch.empty(5, 256, 2, 64, dtype=torch.bfloat16, device=meta),
        torch.empty(5, 256, 2, 64, dtype=torch.bfloat16, device=meta),
        torch.empty(4, dtype=torch.int32, device=meta),
        None,
        4,
        300,
        scale=0.3,
        window_size=(-1, 0),
        enable_gqa=True,
        seqused_k=torch.empty(3, dtype=torch.int32, device=meta),
        block_table=torch.empty(3, 2, dtype=torch.int32, device=meta),
        num_splits=1,
    )
    assert result.shape == (7, HEADS, 64)


class TestChoice:
    def test_a_cpu_attends_sequence_by_sequence(self, model: LoadedModel) -> None:
        store = _varlen.make_kv_store(model, budget_tokens=1000, slots=2, exact=True)
        assert isinstance(store, SequenceKVStore)

    def test_the_kernel_is_for_half_precision(self) -> None:
        assert _varlen._cuda_kernel(torch.float32) is None
