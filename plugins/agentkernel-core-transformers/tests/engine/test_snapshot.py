"""Snapshots: what is written is read back to the bit, damage is refused, and a crash leaves a usable folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agentkernel.api import LLMCoreError
from agentkernel_core_transformers import _snapshot
from agentkernel_core_transformers._generation import Generation
from agentkernel_core_transformers._model import LoadedModel

PROMPT = list(range(40))


@pytest.fixture
def suspended(start: Any, generation: Any) -> Callable[..., tuple[Any, Generation]]:
    """An engine, and a generation of 12 tokens suspended after ``after``."""

    def make(after: int = 3, **more: Any) -> tuple[Any, Generation]:
        harness = start()
        one = generation(12, prompt=PROMPT, **more)
        one.time_slice.suspend_after_tokens = after
        harness.run(one)
        assert one.state == "suspended"
        return harness, one

    return make


@pytest.fixture
def expected(start: Any, generation: Any) -> list[int]:
    one = generation(12, prompt=PROMPT)
    start().run(one)
    tokens: list[int] = one.tokens
    return tokens


def save(generation: Generation, folder: Path) -> int:
    return _snapshot.write(_snapshot.capture(generation), folder)


def finish(harness: Any, generation: Generation) -> list[int]:
    generation.time_slice.suspend_after_tokens = None
    harness.run(generation)
    assert generation.state == "finished", generation.error
    return generation.tokens


def go_on(harness: Any, generation: Generation, tokens: int) -> None:
    generation.time_slice.suspend_after_tokens = tokens
    harness.run(generation)
    assert generation.state == "suspended"


class TestRoundTrip:
    def test_another_process_goes_on_where_it_stopped(
        self, suspended: Any, expected: list[int], model: LoadedModel, tmp_path: Path
    ) -> None:
        harness, one = suspended()
        save(one, tmp_path)
        loaded = _snapshot.load(model, tmp_path)
        assert (loaded.state, loaded.tokens) == ("suspended", expected[:3])
        assert finish(harness, loaded) == expected

    def test_everything_but_constraint_and_watch_comes_back(
        self, suspended: Any, model: LoadedModel, tmp_path: Path
    ) -> None:
        _, one = suspended(
            tenant="somebody", temperature=0.7, seed=11, logprobs=2, eos_ids=frozenset({210, 209})
        )
        save(one, tmp_path)
        loaded = _snapshot.load(model, tmp_path)
        for name in ("prompt", "sampling", "tenant", "tokens", "logprobs", "cached_tokens"):
            assert getattr(loaded, name) == getattr(one, name)

    def test_a_released_generation_is_read_back(
        self, suspended: Any, expected: list[int], tmp_path: Path
    ) -> None:
        harness, one = suspended()
        save(one, tmp_path)
        _snapshot.release(one)
        assert one.kv.kv is None
        _snapshot.reload(one)
        assert finish(harness, one) == expected

    def test_the_size_is_that_of_the_computed_positions(
        self, suspended: Any, model: LoadedModel
    ) -> None:
        _, one = suspended()
        # The last token's KV is computed with the next one.
        assert _snapshot.capture(one).size_bytes == 42 * model.kv_bytes_per_token

    def test_what_was_captured_is_written_though_it_ran_on(
        self, suspended: Any, expected: list[int], model: LoadedModel, tmp_path: Path
    ) -> None:
        harness, one = suspended()
        captured = _snapshot.capture(one)
        assert finish(harness, one) == expected
        _snapshot.write(captured, tmp_path)
        assert _snapshot.load(model, tmp_path).tokens == expected[:3]

    def test_bfloat16_comes_back(
        self, start: Any, generation: Any, model_of: Any, tmp_path: Path
    ) -> None:
        model = model_of("qwen2", torch.bfloat16)
        whole, parts = generation(10, prompt=PROMPT), generation(10, prompt=PROMPT)
        harness = start(model)
        harness.run(whole)
        go_on(harness, parts, 4)
        save(parts, tmp_path)
        assert finish(harness, _snapshot.load(model, tmp_path)) == whole.tokens


class TestIncrements:
    def test_a_second_save_writes_what_is_new(
        self, suspended: Any, expected: list[int], model: LoadedModel, tmp_path: Path
    ) -> None:
        harness, one = suspended()
        first = save(one, tmp_path)
        go_on(harness, one, 4)
        assert save(one, tmp_path) < first / 2
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "head.json",
            "segment-000000.safetensors",
            "segment-000001.safetensors",
        ]
        assert finish(harness, _snapshot.load(model, tmp_path)) == expected

    def test_a_save_without_news_writes_no_kv(self, suspended: Any, tmp_path: Path) -> None:
        _, one = suspended()
        save(one, tmp_path)
        save(one, tmp_path)
        assert len(list(tmp_path.glob("segment-*"))) == 1

    def test_a_loaded_generation_goes_on_in_its_folder(
        self, suspended: Any, expected: list[int], model: LoadedModel, tmp_path: Path
    ) -> None:
        harness, one = suspended()
        save(one, tmp_path)
        loaded = _snapshot.load(model, tmp_path)
        go_on(harness, loaded, 2)
        save(loaded, tmp_path)
        assert len(list(tmp_path.glob("segment-*"))) == 2
        assert finish(harness, _snapshot.load(model, tmp_path)) == expected

    def test_another_generation_replaces_what_is_there(
        self, suspended: Any, model: LoadedModel, tmp_path: Path
    ) -> None:
        _, one = suspended()
        save(one, tmp_path)
        _, two = suspended(temperature=1.0, seed=4)
        save(two, tmp_path)
        assert _snapshot.load(model, tmp_path).sampling == two.sampling

    def test_a_lost_segment_is_written_again(
        self, suspended: Any, expected: list[int], model: LoadedModel, tmp_path: Path
    ) -> None:
        harness, one = suspended()
        save(one, tmp_path)
        (tmp_path / "segment-000000.safetensors").unlink()
        save(one, tmp_path)
        assert finish(harness, _snapshot.load(model, tmp_path)) == expected


class TestRefusals:
    def test_only_a_suspended_generation_can_be_captured(self, start: Any, generation: Any) -> None:
        one = generation()
        with pytest.raises(LLMCoreError, match="this one is new"):
            _snapshot.capture(one)
        start().run(one)
        with pytest.raises(LLMCoreError, match="this one is finished"):
            _snapshot.capture(one)

    def test_a_state_that_was_not_written_is_not_released(
        self, suspended: Any, tmp_path: Path
    ) -> None:
        harness, one = suspended()
        with pytest.raises(LLMCoreError, match="0 are saved"):
            _snapshot.release(one)
        save(one, tmp_path)
        go_on(harness, one, 1)
        with pytest.raises(LLMCoreError, match="42 are saved"):
            _snapshot.release(one)

    def test_a_released_generation_is_not_submitted(self, suspended: Any, tmp_path: Path) -> None:
        harness, one = suspended()
        save(one, tmp_path)
        _snapshot.release(one)
        with pytest.raises(LLMCoreError, match="reload"):
            harness.engine.submit(one)
        assert one.state == "suspended"

    def test_another_model_is_refused(self, suspended: Any, model_of: Any, tmp_path: Path) -> None:
        _, one = suspended()
        save(one, tmp_path)
        with pytest.raises(_snapshot.SnapshotUnusable, match="another model"):
            _snapshot.load(model_of("llama", torch.bfloat16), tmp_path)

    def test_an_empty_folder_is_refused(self, model: LoadedModel, tmp_path: Path) -> None:
        with pytest.raises(_snapshot.SnapshotUnusable, match=r"head\.json cannot be read"):
            _snapshot.load(model, tmp_path)

    def test_another_version_is_refused(
        self, suspended: Any, model: LoadedModel, tmp_path: Path
    ) -> None:
        _, one = suspended()
        save(one, tmp_path)
        head = tmp_path / "head.json"
        head.write_text(json.dumps({**json.loads(head.read_text()), "version": 99}))
        with pytest.raises(_snapshot.SnapshotUnusable, match="version is 99"):
            _snapshot.load(model, tmp_path)

    def test_a_reload_of_damaged_files_leaves_it_released(
        self, suspended: Any, tmp_path: Path
    ) -> None:
        _, one = suspended()
        save(one, tmp_path)
        _snapshot.release(one)
        shutil.rmtree(tmp_path)
        with pytest.raises(_snapshot.SnapshotUnusable):
            _snapshot.reload(one)
        assert one.kv.kv is None


@pytest.fixture
def two_segments(suspended: Any, tmp_path: Path) -> Path:
    harness, one = suspended()
    save(one, tmp_path)
    go_on(harness, one, 4)
    save(one, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["head.json", "segment-000000.safetensors", "segment-000001.safetensors"]
)
class TestDamage:
    def test_a_file_cut_anywhere_is_refused(
        self, two_segments: Path, model: LoadedModel, name: str
    ) -> None:
        path = two_segments / name
        whole = path.read_bytes()
        for length in (*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(_snapshot.SnapshotUnusable):
                _snapshot.load(model, two_segments)

    def test_a_flipped_bit_anywhere_is_refused(
        self, two_segments: Path, model: LoadedModel, name: str
    ) -> None:
        path = two_segments / name
        whole = path.read_bytes()
        # All of the headers, and places all over the rest.
        for place in (
            *range(min(200, len(whole))),
            *range(200, len(whole), max(1, len(whole) // 97)),
        ):
            for bit in (0, 7):
                damaged = bytearray(whole)
                damaged[place] ^= 1 << bit
                path.write_bytes(damaged)
                with pytest.raises(_snapshot.SnapshotUnusable):
                    _snapshot.load(model, two_segments)

    def test_a_missing_file_is_refused(
        self, two_segments: Path, model: LoadedModel, name: str
    ) -> None:
        (two_segments / name).unlink()
        with pytest.raises(_snapshot.SnapshotUnusable):
            _snapshot.load(model, two_segments)


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("calls", range(4))
def test_a_crash_within_a_save_leaves_this_state_or_the_one_before(
    suspended: Any,
    expected: list[int],
    model: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: int,
) -> None:
    """Killed before or after each renaming; what was begun by then lies about."""
    harness, one = suspended()
    save(one, tmp_path)
    go_on(harness, one, 4)
    left = calls
    replace = os.replace

    def crashing(source: Any, target: Any) -> None:
        nonlocal left
        if left == 0:
            raise Crash
        replace(source, target)
        if left == 1:
            raise Crash
        left -= 2

    monkeypatch.setattr(os, "replace", crashing)
    with pytest.raises(Crash):
        save(one, tmp_path)
    monkeypatch.undo()
    loaded = _snapshot.load(model, tmp_path)
    assert loaded.tokens == expected[: 7 if calls == 3 else 3]
    assert finish(harness, loaded) == expected


def test_a_folder_that_cannot_be_written_keeps_what_it_holds(
    suspended: Any, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, one = suspended()
    save(one, tmp_path)
    go_on(harness, one, 4)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save(one, tmp_path)
    assert len(_snapshot.load(model, tmp_path).tokens) == 3
