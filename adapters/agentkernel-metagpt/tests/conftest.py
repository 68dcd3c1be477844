"""The same MetaGPT program, run as it is and run wrapped, against one scripted server."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import agentkernel
from agentkernel.testing import Reply, SideBySide
from agentkernel.testing.openai_server import Request, Script

CONFIG = "llm:\n  api_type: openai\n  model: gpt-4\n  base_url: {base_url}\n  api_key: key-1\n"


def write_config(root: Path, base_url: str, extra: str = "") -> None:
    """MetaGPT's configuration file, where METAGPT_PROJECT_ROOT is ``root``."""
    (root / "config").mkdir(parents=True, exist_ok=True)
    (root / "config/config2.yaml").write_text(CONFIG.format(base_url=base_url) + extra)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """MetaGPT uses what pydantic and others call deprecated; to import it takes a busy machine a minute or two."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))
            item.add_marker(pytest.mark.timeout(600))


class Lab(SideBySide):
    """A scripted server, and MetaGPT programs against it.

    It closes each connection: MetaGPT never closes its clients, and what is left open warns.
    """

    @property
    def script(self) -> Script:
        """Answers a request."""
        return self._answer

    @script.setter
    def script(self, script: Script) -> None:
        def answer(request: Request) -> Reply:
            reply = script(request)
            headers = {**reply.headers, "Connection": "close"}
            return msgspec.structs.replace(reply, headers=headers)

        self._answer = answer

    def config(self, **llm: Any) -> Any:
        """A configuration whose LLM is the server."""
        from metagpt.config2 import Config

        settings = {
            "api_type": "openai",
            "model": "gpt-4",
            "api_key": "key-1",
            "base_url": self.base_url,
        }
        return Config.from_llm_config({**settings, **llm})

    def context(self, **llm: Any) -> Any:
        """A context, with costs of its own."""
        from metagpt.context import Context
        from metagpt.utils.cost_manager import CostManager

        return Context(config=self.config(**llm), cost_manager=CostManager())


@pytest.fixture
def configure() -> Any:
    """See :func:`write_config`."""
    return write_config


@pytest.fixture(scope="session", autouse=True)
def _project_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MetaGPT cannot be imported without a configuration; the user's own, in the home directory, is not read."""
    home = tmp_path_factory.mktemp("home")
    write_config(home, "http://127.0.0.1:9/v1")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE", "METAGPT_PROJECT_ROOT"):
            patch.setenv(name, str(home))
        for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files go to a folder of the test's own, and no test leaves a wrapped framework behind."""
    monkeypatch.chdir(tmp_path)
    yield
    agentkernel.unwrap()


@pytest.fixture(scope="session")
def metagpt(_project_root: None) -> Any:
    """The framework itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import metagpt
        import metagpt.provider
        import metagpt.roles
        import metagpt.roles.di.data_interpreter
        import metagpt.team
    return metagpt


@pytest.fixture
def _tokens_are_words(metagpt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """tiktoken downloads its vocabularies; the costs of streamed answers are counted with another."""
    import tiktoken

    encoding = tiktoken.Encoding(
        "words",
        pat_str=r"\S+|\s+",
        mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={},
    )
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda model: encoding)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: encoding)


@pytest.fixture
def lab(
    metagpt: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    _tokens_are_words: None,
) -> Iterator[Lab]:
    """See :class:`Lab`."""
    from metagpt.context import Context
    from metagpt.provider.base_llm import BaseLLM
    from metagpt.provider.openai_api import OpenAILLM
    from tenacity import wait_none

    for owner in (BaseLLM, OpenAILLM):
        monkeypatch.setattr(owner.acompletion_text.retry, "wait", wait_none())
    with Lab(lambda: capsys.readouterr().out) as lab:
        # Actions that other objects make take the configuration that was read at import.
        monkeypatch.setattr(Context.model_fields["config"].default.llm, "base_url", lab.base_url)
        yield lab
