"""The same AutoGen program, run as it is and run wrapped, against one scripted server."""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentkernel
from agentkernel.testing import SideBySide
from agentkernel.testing.side_by_side import Run

_RANDOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""ag2 prints one when a chat ends."""

collect_ignore = [] if importlib.util.find_spec("autogen.agentchat.group") else ["test_ag2.py"]


def pytest_configure(config: pytest.Config) -> None:
    """AutoGen calls what Python 3.12 deprecates, in each request."""
    config.addinivalue_line("filterwarnings", r"ignore:datetime\.datetime\.utc:DeprecationWarning")


class Lab(SideBySide):
    """A scripted server, and AutoGen programs against it."""

    def model(self, **settings: Any) -> dict[str, Any]:
        """An entry of a ``config_list``."""
        return {
            "model": "m",
            "base_url": self.base_url,
            "api_key": "key-1",
            "price": [0.5, 2],
            "max_retries": 0,
            **settings,
        }

    def config(self, **settings: Any) -> dict[str, Any]:
        """An ``llm_config`` with one model."""
        return {"config_list": [self.model()], "cache_seed": None, **settings}

    def _run(self, program: Any, script: Any) -> Run:
        run = super()._run(program, script)
        run.value = _without_random_ids(run.value)
        return run


def _without_random_ids(value: Any) -> Any:
    """ag2 gives each chat an id by chance."""
    for result in value if isinstance(value, list) else [value]:
        if isinstance(getattr(result, "chat_id", None), int) and result.chat_id > 2**32:
            result.chat_id = 0
    return value


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AutoGen's cache and code go to a folder of the test's own, and no test leaves a wrapped framework behind."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    agentkernel.unwrap()


@pytest.fixture(scope="session")
def autogen() -> Any:
    """The framework itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import autogen

    return autogen


@pytest.fixture
def _clients_are_closed(autogen: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AutoGen never closes its clients; left to the garbage collector, their sockets warn."""
    import openai

    clients: list[Any] = []
    original = openai.OpenAI.__init__

    @functools.wraps(original)
    def init(self: Any, **settings: Any) -> None:
        clients.append(self)
        original(self, **settings)

    monkeypatch.setattr(openai.OpenAI, "__init__", init)
    yield
    for client in clients:
        if hasattr(client, "_client"):
            client.close()


@pytest.fixture
def lab(
    autogen: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    _clients_are_closed: None,
) -> Iterator[Lab]:
    """See :class:`Lab`."""
    # AutoGen looks for a Docker daemon even where it is told not to use it.
    monkeypatch.setattr("autogen.code_utils.is_docker_running", lambda: False)
    events = logging.getLogger("ag2.event.processor")  # where ag2 prints from 0.13 on
    monkeypatch.setattr(events, "handlers", [caplog.handler])
    caplog.set_level(logging.INFO, events.name)

    def printed() -> str:
        records = [record for record in caplog.records if record.name == events.name]
        said = [record.getMessage() + getattr(record, "ag2_event_end", "\n") for record in records]
        caplog.clear()
        return _RANDOM_ID.sub("ID", capsys.readouterr().out + "".join(said))

    with Lab(printed) as lab:
        yield lab
