"""The same litellm program, run as it is and run wrapped, against one scripted server."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentkernel
from agentkernel.testing import SideBySide

HELLO = [{"role": "user", "content": "hello"}]


class Lab(SideBySide):
    """A scripted server, and litellm programs against it."""

    def ask(self, **settings: Any) -> dict[str, Any]:
        """Arguments of ``litellm.completion``."""
        return {
            "model": "openai/m",
            "messages": HELLO,
            "api_base": self.base_url,
            "api_key": "key-1",
            "max_retries": 0,
            **settings,
        }

    def described(self, answer: Any) -> Any:
        """What a program sees of litellm's answer or chunk, or a list of them; what depends on clock and chance left out."""
        if isinstance(answer, list):
            return [self.described(one) for one in answer]
        hidden = getattr(answer, "_hidden_params", None) or {}
        names = ("response_cost", "custom_llm_provider", "model_id", "cache_hit", "api_base")
        seen = {name: hidden.get(name) for name in names}
        return type(answer), answer.model_dump(exclude={"created", "id"}), seen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """litellm takes long to be imported, warns of its own types, and keeps the HTTP clients of closed event loops."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    yield
    agentkernel.unwrap()


@pytest.fixture(scope="session")
def litellm() -> Iterator[Any]:
    """The framework itself; its price list comes from the package."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litellm

        litellm.suppress_debug_info = True
        yield litellm
        litellm.in_memory_llm_clients_cache.flush_cache()
        gc.collect()


@pytest.fixture
def lab(litellm: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Lab]:
    """See :class:`Lab`."""
    with Lab(lambda: capsys.readouterr().out) as lab:
        yield lab
