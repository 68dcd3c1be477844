"""Fixtures for everybody who tests with agentkernel; pytest finds them through the entry point ``pytest11``.

* ``kernel``: a started kernel with one core, ``fake_core``, that answers ``ok``; it is stopped after the test.
* ``fake_core``: that core; override it to script the answers.
* ``no_leaks``: fails the test when it leaves threads, asyncio tasks or sockets behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agentkernel.kernel import Kernel
    from agentkernel.testing.fakes import FakeCore

pytest.register_assert_rewrite("agentkernel.testing.kits")

__all__ = ["fake_core", "kernel", "no_leaks"]


@pytest.fixture
def fake_core() -> FakeCore:
    """The core of the fixture ``kernel``."""
    from agentkernel.testing.fakes import FakeCore

    return FakeCore()


@pytest.fixture
def kernel(fake_core: FakeCore) -> Iterator[Kernel]:
    """A started kernel with the core ``fake``; no configuration file and no installed plugin counts."""
    from agentkernel.kernel import Kernel
    from agentkernel.testing._scheduler import LeastScheduler

    scheduler = LeastScheduler()
    plugins = {("order", "least"): scheduler, ("placement", "least"): scheduler}
    kernel = Kernel({}, plugins=plugins, order="least", placement="least", admission=[])
    kernel.start()
    try:
        kernel.add_core("fake", fake_core)
        yield kernel
    finally:
        kernel.stop()


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Request it before the fixtures whose leaks it shall find: fixtures are torn down in reverse order."""
    from agentkernel.testing._leaks import Leftovers

    leftovers = Leftovers()
    yield
    found = leftovers.find()
    assert not found, "the test left behind: " + "; ".join(found)
