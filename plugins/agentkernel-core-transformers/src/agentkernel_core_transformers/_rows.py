"""Rows that do not depend on the batch: everything between the attentions runs over a verified number of rows.

A matrix product may choose another kernel, and so another order of summation, for another number of rows; a vectorised
function may round the last few elements of an array differently. A row of the result is then bit-identical only among
the numbers of rows that share their kernels. :func:`verified_row_blocks` finds those on the machine at hand;
:class:`RowBlocks` cuts any batch into them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec
import torch
from torch.nn import functional

from agentkernel.api import LLMCoreError

__all__ = [
    "ExactnessUnavailable",
    "Linear",
    "RowBlocks",
    "RowFunction",
    "apply",
    "verified_row_blocks",
]

_CANDIDATES = (288, 280, 272, 264, 256, 192, 128, 96, 64, 56, 48, 40, *range(32, 3, -1))
"""Every number where padding would cost most; few beyond, since a library compiles and keeps a kernel for each.

Those above 256 are for a full budget of prefill with the answers beside it. Four rows take less time than one or two:
oneDNN has no good kernel for those.
"""

_CALL_ROWS = 8
"""A product over no row at all costs about as much as so many rows: it reads the weights."""

RowFunction = Callable[..., torch.Tensor]
"""Takes tensors [rows, ...] and gives one: row i of the result is made of row i of each of them."""


class ExactnessUnavailable(LLMCoreError):
    """No number of rows was found for which a row's result is independent of the other rows."""


class RowBlocks(msgspec.Struct, frozen=True):
    """How a batch of rows is cut.

    Attributes:
        sizes: numbers of rows that give bit-identical rows, largest first; empty takes any batch as a whole.
    """

    sizes: tuple[int, ...] = ()

    def split(self, rows: int) -> tuple[int, ...]:
        """The cheapest blocks that hold ``rows`` rows; together they may hold more."""
        if not self.sizes:
            return (rows,)
        largest = self.sizes[0]
        whole = max(0, rows - largest) // largest
        return (largest,) * whole + _cheapest(rows - whole * largest, self.sizes)[1]


def apply(blocks: Sequence[int], function: RowFunction, *inputs: torch.Tensor) -> torch.Tensor:
    """``function`` over the inputs, block by block; ``blocks`` add up to their rows."""
    if len(blocks) == 1:
        return function(*inputs)
    parts = (torch.split_with_sizes(rows, blocks) for rows in inputs)
    return torch.cat([function(*part) for part in zip(*parts, strict=True)])


@lru_cache(maxsize=4096)
def _cheapest(rows: int, sizes: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Cost, and the blocks."""
    if rows <= 0:
        return 0, ()
    plans = ((size, _cheapest(rows - size, sizes)) for size in sizes)
    return min((_CALL_ROWS + size + cost, (size, *blocks)) for size, (cost, blocks) in plans)


class Linear:
    """``x @ weight.T + bias``: float[rows, in] -> float[rows, out]. Thread-safe.

    On x86 CPUs oneDNN gets the weights in its own order once, which makes products over few rows about twice as fast;
    ``weight`` itself is not kept then.
    """

    __slots__ = ("_bias", "_packed", "_weight", "inputs")

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self.inputs = weight.shape[1]
        self._bias = bias
        self._packed = _can_pack(weight)
        if self._packed:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
        self._weight = weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not self._packed:
            return functional.linear(x, self._weight, self._bias)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, "none", [], ""
        )
        return product


def _can_pack(weight: torch.Tensor) -> bool:
    if weight.device.type != "cpu" or platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype == torch.float32:
        return True
    return weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def verified_row_blocks(
    functions: Sequence[tuple[RowFunction, Callable[[int], tuple[torch.Tensor, ...]]]],
    *,
    row_block: int,
) -> RowBlocks:
    """The row counts, ``row_block`` or another among them, for which every function keeps its rows.

    Each function comes with a maker of inputs of so many rows. It is tried on the same rows at other places and beside
    other rows. A library chooses its kernels by shape, not by content, so that what holds here holds for any rows. It
    does so under the calling thread's number of torch threads.

    Raises:
        ExactnessUnavailable: no block size of 64 rows at most keeps its rows.
    """
    tried = [row_block, *(size for size in (16, 32, 64) if size != row_block)]
    for block in tried:
        sizes = {*_CANDIDATES, block}
        for function, make_inputs in functions:
            sizes = _equal_sizes(function, make_inputs(block), sizes)
        if block in sizes:
            return RowBlocks(tuple(sorted(sizes, reverse=True)))
    raise ExactnessUnavailable(
        "answers cannot be bit-identical on this machine with this model, dtype and device: with "
        f"{torch.get_num_threads()} torch threads the rows of a batch depend on each other for every block size tried "
        f"({tried}). Set threads = 1, or exact = false to do without (answers may then differ in rounding with the load)"
    )


def _equal_sizes(
    function: RowFunction, inputs: tuple[torch.Tensor, ...], sizes: set[int]
) -> set[int]:
    """Those of ``sizes`` that give each row the bits that it has within ``inputs``."""
    random = torch.Generator().manual_seed(0)
    expected = function(*inputs)
    equal = set()
    for size in sizes:
        order = torch.randint(len(expected), (size,), generator=random).to(expected.device)
        if torch.equal(function(*(rows[order] for rows in inputs)), expected[order]):
            equal.add(size)
    return equal
