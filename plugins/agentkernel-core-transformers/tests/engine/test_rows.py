"""Row blocks: products whose rows do not depend on each other are found, and nothing else passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentkernel_core_transformers._model import LoadedModel
from agentkernel_core_transformers._rows import (
    ExactnessUnavailable,
    Linear,
    RowBlocks,
    apply,
    verified_row_blocks,
)


def verify(function: Any, row_block: int = 16) -> RowBlocks:
    return verified_row_blocks([(function, lambda n: (torch.rand(n, 8),))], row_block=row_block)


class TestSplit:
    @given(st.integers(1, 2000), st.sets(st.sampled_from([4, 8, 16, 48, 256]), min_size=1))
    def test_blocks_have_verified_sizes_and_hold_the_rows(self, rows: int, sizes: set[int]) -> None:
        blocks = RowBlocks(tuple(sorted(sizes, reverse=True))).split(rows)
        assert set(blocks) <= sizes
        assert sum(blocks) >= rows
        assert sum(blocks) - rows < max(sizes)

    def test_without_sizes_a_batch_stays_whole(self) -> None:
        assert RowBlocks().split(37) == (37,)

    def test_a_little_padding_is_cheaper_than_another_product(self) -> None:
        assert RowBlocks((32, 16, 4)).split(30) == (32,)
        assert sorted(RowBlocks((32, 16, 4)).split(36)) == [4, 32]


class TestLinear:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 24)])
    def test_it_is_the_product_of_torch(self, dtype: torch.dtype, bias: Any) -> None:
        random = torch.Generator().manual_seed(0)
        weight = torch.randn(24, 40, generator=random).to(dtype)
        x = torch.randn(20, 40, generator=random).to(dtype)
        bias = None if bias is None else bias.to(dtype)
        expected = torch.nn.functional.linear(x, weight, bias)
        torch.testing.assert_close(Linear(weight, bias)(x), expected, rtol=1e-2, atol=1e-2)


class TestApply:
    @pytest.mark.parametrize("blocks", [(6,), (4, 2)])
    def test_each_block_goes_through_the_function_with_its_rows(
        self, blocks: tuple[int, ...]
    ) -> None:
        seen: list[int] = []

        def add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return x + y

        x, y = torch.rand(6, 3), torch.rand(6, 3)
        assert torch.equal(apply(blocks, add, x, y), x + y)
        assert tuple(seen) == blocks


class TestVerification:
    def test_independent_rows_pass_in_every_size(self) -> None:
        assert {4, 16, 256} <= set(verify(lambda x: x * 2).sizes)

    def test_a_size_whose_rows_differ_is_left_out(self) -> None:
        sizes = verify(lambda x: x * 2 if len(x) != 64 else x * 2.000001).sizes
        assert 64 not in sizes
        assert {32, 128} <= set(sizes)

    def test_the_asked_block_size_may_be_any(self) -> None:
        assert 20 in verify(lambda x: x * 2, row_block=20).sizes

    def test_another_block_size_is_found_when_the_asked_one_fails(self) -> None:
        def by_place(x: torch.Tensor) -> torch.Tensor:
            return x + torch.arange(1, len(x) + 1)[:, None] if len(x) < 32 else x

        assert min(verify(by_place).sizes) == 32

    def test_rows_that_depend_on_their_place_are_refused(self) -> None:
        with pytest.raises(ExactnessUnavailable, match="exact = false"):
            verify(lambda x: x + torch.arange(len(x))[:, None])

    def test_rows_that_depend_on_other_rows_are_refused(self) -> None:
        with pytest.raises(ExactnessUnavailable):
            verify(lambda x: x + x.sum() * 1e-3)

    @torch.inference_mode()
    def test_a_model_passes_on_this_machine(self, model: LoadedModel) -> None:
        assert 16 in model.model.verified_row_blocks(16).sizes

    def test_zero_switches_it_off(self, model: LoadedModel) -> None:
        assert model.model.verified_row_blocks(0) == RowBlocks()


def test_an_engine_whose_rows_depend_on_each_other_does_not_start(
    model: LoadedModel, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    multiply = Linear.__call__
    monkeypatch.setattr(
        Linear, "__call__", lambda self, x: multiply(self, x) + torch.arange(len(x))[:, None]
    )
    with pytest.raises(ExactnessUnavailable, match="threads = 1"):
        start()
    start(row_block=0)
