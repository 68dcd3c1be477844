"""What the core finds wrong before it starts, and what it does not do to start."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from agentkernel.api import (
    LLMCoreError,
)
from agentkernel_core_transformers import TransformersCore, TransformersOptions, _core
from agentkernel_core_transformers._loading import load_service


class TestStart:
    async def start(self, model: object, **options: Any) -> str:
        core = TransformersCore("main", TransformersOptions(model=str(model), **options))
        with pytest.raises(LLMCoreError) as raised:
            await core.start()
        return str(raised.value)

    async def test_model_that_is_not_there_is_not_fetched(self) -> None:
        text = await self.start("nobody/has-this-model")
        assert "download = true" in text and "hf download nobody/has-this-model" in text

    @pytest.mark.parametrize("download", [False, True])
    async def test_hub_model_is_fetched_only_when_the_options_say_so(
        self, running: Any, model_path: Path, monkeypatch: pytest.MonkeyPatch, download: bool
    ) -> None:
        asked: list[Any] = []

        def snapshot(model: str, **options: Any) -> str:
            asked.append((model, options["local_files_only"]))
            assert not any("bin" in one or "py" in one for one in options["allow_patterns"])
            return str(model_path)

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
        async with running(Path("some/model"), download=download) as core:
            assert core.capabilities.models == {"model"}
        assert asked == [("some/model", not download)]

    async def test_code_of_a_model_is_not_run(self, tmp_path: Path, tokenizer: Any) -> None:
        config = {"model_type": "strange", "auto_map": {"AutoConfig": "strange.Config"}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "strange.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        tokenizer.save_pretrained(tmp_path)
        assert "trust_remote_code" in await self.start(tmp_path)
        assert not (tmp_path / "ran").exists()

    async def test_folder_without_a_model_is_named(self, tmp_path: Path) -> None:
        assert str(tmp_path) in await self.start(tmp_path)

    async def test_model_without_a_template_says_which_option_helps(
        self, tmp_path: Path, new_tokenizer: Any, save_tiny_model: Any, running: Any, call: Any
    ) -> None:
        folder = save_tiny_model(tmp_path / "base", new_tokenizer(chat_template=None))
        assert "set chat_template" in await self.start(folder)
        template = tmp_path / "chat.jinja"
        template.write_text("{{ messages[-1].content }}")
        async with running(folder, chat_template=str(template)) as core:
            assert (await core.execute(call(), None)).text

    async def test_template_that_cannot_be_read_is_named(
        self, model_path: Path, tmp_path: Path
    ) -> None:
        missing = str(tmp_path / "none.jinja")
        assert missing in await self.start(model_path, chat_template=missing)

    async def test_unsupported_model_is_refused_with_the_way_out(
        self, tmp_path: Path, tokenizer: Any
    ) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64
        )
        GPT2LMHeadModel(config).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        text = await self.start(tmp_path)
        assert "gpt2" in text and "unsupported = 'generate'" in text

    async def test_start_that_is_given_up_leaves_no_engine(
        self, model_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_load, loaded = threading.Event(), []

        def load_slowly(*args: Any, **more: Any) -> Any:
            may_load.wait()
            loaded.append(load_service(*args, **more))
            return loaded[0]

        monkeypatch.setattr(_core, "load_service", load_slowly)
        core = TransformersCore("main", TransformersOptions(model=str(model_path)))
        starting = asyncio.create_task(core.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        may_load.set()
        assert core._workers is not None
        core._workers.shutdown()  # waits
        assert not loaded[0].engine._thread.is_alive()
