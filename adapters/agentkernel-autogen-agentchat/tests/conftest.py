"""The same AutoGen program, run as it is and run wrapped, against one scripted server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import agentkernel
from agentkernel.testing.side_by_side import Run, SideBySide

Main = Callable[[Any], Awaitable[Any]]


class Lab(SideBySide):
    """A scripted server, and AutoGen programs against it.

    The programs take a model client and are coroutines; what they return is told without what chance and the clock
    put into it.
    """

    def client(self, **settings: Any) -> Any:
        """A model client whose requests the server answers."""
        from autogen_ext.models.openai import OpenAIChatCompletionClient

        return OpenAIChatCompletionClient(
            **{
                "model": "gpt-4o-2024-08-06",
                "base_url": self.base_url,
                "api_key": "key-1",
                "max_retries": 0,
                **settings,
            }
        )

    def compare(
        self, main: Main, script: Any, *, raises: str | None = None, **settings: Any
    ) -> Run:
        """Run ``main`` as it is, then wrapped; nobody can tell the difference. The wrapped run.

        ``raises`` names the type of the error that it ends with.
        """
        run = self.both(self.program(main), script, **settings)
        assert (type(run.error).__name__ if run.error else None) == raises, run.error
        assert len(run.calls("llm")) == len(run.requests)
        return run

    def schedule(self, main: Main, script: Any, **settings: Any) -> Run:
        """Run ``main`` wrapped."""
        return self.wrapped(self.program(main), script, **settings)

    def program(self, main: Main) -> Callable[[], Any]:
        """``main`` with a client that is closed in the end."""

        async def run() -> Any:
            client = self.client()
            try:
                return told(await main(client))
            finally:
                await client.close()

        return run


_BY_CHANCE = {"created_at", "full_message_id", "id", "request_id"}


def told(value: Any) -> Any:
    """Messages and results as plain values; ids are made at random, times by the clock."""
    if hasattr(value, "model_dump"):
        return type(value).__name__, told(value.model_dump())
    if isinstance(value, dict):
        return {key: told(each) for key, each in value.items() if key not in _BY_CHANCE}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [told(each) for each in value]
    return value


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files go to a folder of the test's own, and no test leaves a wrapped framework behind."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    agentkernel.unwrap()


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str]) -> Iterator[Lab]:
    """See :class:`Lab`."""
    with Lab(lambda: capsys.readouterr().out) as lab:
        yield lab
