"""Agent programs of frameworks above the OpenAI SDK 2, as they are and wrapped, against one scripted server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import agentkernel
from agentkernel.testing import SideBySide

OFFLINE = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
}


def pytest_configure(config: pytest.Config) -> None:
    """The frameworks warn of themselves, and leave their clients to the garbage collector."""
    config.addinivalue_line("filterwarnings", "ignore")


@pytest.fixture
def lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[SideBySide]:
    """The scripted server; programs run in a home of the test's own, and nothing is reported to anybody."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**OFFLINE, "HOME": str(tmp_path), "OPENAI_API_KEY": "key-1"}.items():
        monkeypatch.setenv(name, value)
    with SideBySide(lambda: capsys.readouterr().out) as lab:
        monkeypatch.setenv("OPENAI_BASE_URL", lab.base_url)
        yield lab
    agentkernel.unwrap()
