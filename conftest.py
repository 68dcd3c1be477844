"""For all tests, those of plugins and adapters too: the network ends at 127.0.0.1."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import loopback_only
import pytest

_GUARD = Path(loopback_only.__file__).parent


def pytest_configure() -> None:
    loopback_only.install()
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_GUARD), inherited]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    before = len(loopback_only.refused)
    yield
    new = loopback_only.refused[before:]
    if new:
        raise loopback_only.LoopbackOnly(f"the test reached for the network: {', '.join(new)}")
