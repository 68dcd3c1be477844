"""How long an event loop was held: a heartbeat beside the work."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

__all__ = ["longest_block_s"]

_BEAT_S = 0.005
_TRIES = 3


def longest_block_s(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that ``work`` held its event loop at a stretch: the least of three tries, since machines stall too."""
    return min(asyncio.run(_longest_gap(work)) for _ in range(_TRIES))


async def _longest_gap(work: Callable[[], Awaitable[object]]) -> float:
    gaps = [0.0]
    heart = asyncio.create_task(_beat(gaps))
    await asyncio.sleep(0)
    try:
        await work()
        await asyncio.sleep(_BEAT_S)
    finally:
        heart.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await heart
    return max(gaps)


async def _beat(gaps: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_BEAT_S)
        gaps.append(time.perf_counter() - before - _BEAT_S)
