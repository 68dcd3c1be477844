"""Suspended generations on disk: KV in segments of safetensors, everything else in one small JSON file.

A folder holds one generation. Every save adds the positions that are not there yet as one more segment and then
replaces ``head.json``, which names the segments that count. Files appear by renaming, so that a process killed at any
moment leaves the state of this save or of the one before. Nothing is flushed to the device: after a power failure the
files may be damaged, which reading them detects.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from agentkernel.api import LLMCoreError
from agentkernel_core_transformers._checksum import tensor_checksum
from agentkernel_core_transformers._generation import Generation, SamplingParams, TokenLogprobs
from agentkernel_core_transformers._model import LoadedModel
from agentkernel_core_transformers._sequence import KVLayout, Sequence

__all__ = ["Captured", "SnapshotUnusable", "capture", "load", "release", "reload", "write"]

_VERSION = 1
_HEAD = "head.json"


class SnapshotUnusable(LLMCoreError):
    """What is in the folder cannot be used; the generation has to begin anew."""

    def __init__(self, folder: Path, problem: str) -> None:
        self.folder, self.problem = folder, problem
        super().__init__(f"the saved generation in {folder} cannot be used: {problem}")


class _Segment(msgspec.Struct, frozen=True):
    """KV of positions from ``start`` to before ``stop``: tensors ``k`` and ``v``, float[layers, heads, positions, width]."""

    file: str
    start: int
    stop: int
    size_bytes: int
    checksum: str


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    fingerprint: str
    prompt: list[int]
    tenant: str
    sampling: SamplingParams
    tokens: list[int]
    logprobs: list[TokenLogprobs]
    cached_tokens: int
    segments: list[_Segment]

    @property
    def computed(self) -> int:
        """Positions saved."""
        return self.segments[-1].stop if self.segments else 0


class _File(msgspec.Struct, frozen=True):
    """The whole of ``head.json``. The digest is of ``head`` as written."""

    version: int
    digest: str
    head: msgspec.Raw


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """A generation as it was when suspended. It may run meanwhile: what this refers to does not change.

    Attributes:
        size_bytes: of the KV.
    """

    sequence: Sequence
    kv: torch.Tensor
    computed: int
    tokens: list[int]
    logprobs: list[TokenLogprobs]
    size_bytes: int


def capture(generation: Generation) -> Captured:
    """The state of a suspended generation, for :func:`write`. Copies no KV.

    Raises:
        LLMCoreError: the generation is not suspended, or its KV was released.
    """
    sequence = generation.kv
    if generation.state != "suspended" or not isinstance(sequence, Sequence):
        raise LLMCoreError(
            f"only a suspended generation can be saved; this one is {generation.state}"
        )
    if sequence.kv is None:
        raise LLMCoreError(f"this generation's KV was released; it is saved in {sequence.folder}")
    return Captured(
        sequence=sequence,
        kv=sequence.kv,
        computed=sequence.computed,
        tokens=generation.tokens.copy(),
        logprobs=generation.logprobs.copy(),
        size_bytes=sequence.computed * sequence.layout.bytes_per_token,
    )


def write(captured: Captured, folder: Path) -> int:
    """Bring ``folder`` to the captured state; the bytes written. Any thread, one call a folder at a time.

    Raises:
        OSError: the folder cannot be written; what it held is as good as before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    segments = _segments_there(captured, folder)
    written = 0
    start = segments[-1].stop if segments else 0
    if start < captured.computed:
        segments.append(_write_segment(captured, folder, start, len(segments)))
        written = segments[-1].size_bytes
    generation = captured.sequence.generation
    head = _Head(
        fingerprint=captured.sequence.layout.fingerprint,
        prompt=generation.prompt,
        tenant=generation.tenant,
        sampling=generation.sampling,
        tokens=captured.tokens,
        logprobs=captured.logprobs,
        cached_tokens=generation.cached_tokens,
        segments=segments,
    )
    written += _write_head(head, folder)
    captured.sequence.folder, captured.sequence.saved = folder, captured.computed
    return written


def release(generation: Generation) -> None:
    """Drop the KV of a suspended generation from RAM; :func:`reload` brings it back.

    Raises:
        LLMCoreError: it is not suspended, or its present state was not written.
    """
    sequence = generation.kv
    if generation.state != "suspended" or not isinstance(sequence, Sequence):
        raise LLMCoreError(
            f"only a suspended generation can be released; this one is {generation.state}"
        )
    if sequence.folder is None or sequence.saved != sequence.computed:
        raise LLMCoreError(
            f"{sequence.computed} positions are computed and {sequence.saved} are saved: save them before the release"
        )
    sequence.kv = None


def reload(generation: Generation) -> None:
    """Read a released generation's KV back; nothing happens if it was not released. Any thread.

    Raises:
        SnapshotUnusable: the files are damaged or gone. The generation stays released.
    """
    sequence = generation.kv
    if not isinstance(sequence, Sequence) or not sequence.released:
        return
    assert sequence.folder is not None
    head = _read_head(sequence.folder)
    same = head.prompt == generation.prompt and head.tokens == generation.tokens
    if not same or head.fingerprint != sequence.layout.fingerprint:
        raise SnapshotUnusable(sequence.folder, "it holds another state or generation")
    _read_kv(head, sequence, sequence.folder)


def load(model: LoadedModel, folder: Path) -> Generation:
    """The suspended generation that an earlier process wrote to ``folder``. Any thread.

    Constraint and watch are for the caller to restore.

    Raises:
        SnapshotUnusable: it is none of this model, or the files are damaged or missing.
    """
    head = _read_head(folder)
    if head.fingerprint != model.fingerprint:
        raise SnapshotUnusable(
            folder,
            f"it is of another model, dtype or torch: fingerprint {head.fingerprint}, expected {model.fingerprint}",
        )
    generation = Generation(head.prompt, head.sampling, tenant=head.tenant)
    generation.tokens = head.tokens
    generation.logprobs = head.logprobs
    generation.cached_tokens = head.cached_tokens
    generation.state = "suspended"
    sequence = generation.kv = Sequence(generation, model.kv_layout)
    _read_kv(head, sequence, folder)
    return generation


def _segments_there(captured: Captured, folder: Path) -> list[_Segment]:
    """Those in the folder, if they are an earlier state of the same generation; else the folder is cleared of its head."""
    try:
        head = _read_head(folder)
    except SnapshotUnusable:
        return []
    generation = captured.sequence.generation
    earlier = (
        head.fingerprint == captured.sequence.layout.fingerprint
        and head.prompt == generation.prompt
        and head.sampling == generation.sampling
        and head.tokens == captured.tokens[: len(head.tokens)]
        and all(_size(folder / segment.file) == segment.size_bytes for segment in head.segments)
    )
    if earlier:
        return head.segments
    (folder / _HEAD).unlink()
    return []


def _write_segment(captured: Captured, folder: Path, start: int, number: int) -> _Segment:
    k, v = captured.kv[:, :, :, start : captured.computed].cpu().unbind(1)
    tensors = {"k": k.contiguous(), "v": v.contiguous()}
    name = f"segment-{number:06}.safetensors"
    temporary = folder / f"{name}.new"
    save_file(tensors, temporary)
    size = temporary.stat().st_size
    os.replace(temporary, folder / name)
    return _Segment(name, start, captured.computed, size, tensor_checksum(*tensors.values()).hex())


def _write_head(head: _Head, folder: Path) -> int:
    text = msgspec.json.encode(head)
    content = msgspec.json.encode(_File(_VERSION, _digest(text), msgspec.Raw(text)))
    temporary = folder / f"{_HEAD}.new"
    temporary.write_bytes(content)
    os.replace(temporary, folder / _HEAD)
    return len(content)


def _read_head(folder: Path) -> _Head:
    try:
        file = msgspec.json.decode((folder / _HEAD).read_bytes(), type=_File)
        if file.version != _VERSION:
            raise SnapshotUnusable(folder, f"its version is {file.version}, expected {_VERSION}")
        if file.digest != _digest(bytes(file.head)):
            raise SnapshotUnusable(folder, f"{_HEAD} is damaged: its digest does not match")
        return msgspec.json.decode(file.head, type=_Head)
    except OSError as error:
        raise SnapshotUnusable(folder, f"{_HEAD} cannot be read: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotUnusable(folder, f"{_HEAD} is damaged: {error}") from error


def _read_kv(head: _Head, sequence: Sequence, folder: Path) -> None:
    """Allocate and fill the KV; the sequence is unchanged when that fails."""
    expected = len(head.prompt) + len(head.tokens) - 1
    if head.computed != expected:
        raise SnapshotUnusable(folder, f"{head.computed} positions are saved, expected {expected}")
    blank = Sequence(sequence.generation, sequence.layout)
    blank.allocate()
    assert blank.kv is not None
    position = 0
    for segment in head.segments:
        if segment.start != position:
            raise SnapshotUnusable(folder, f"positions {position} to {segment.start} are missing")
        k, v = _read_segment(segment, sequence.layout, folder)
        blank.kv[:, 0, :, position : segment.stop] = k
        blank.kv[:, 1, :, position : segment.stop] = v
        position = segment.stop
    sequence.kv, sequence.computed = blank.kv, position
    sequence.folder, sequence.saved = folder, position


def _read_segment(
    segment: _Segment, layout: KVLayout, folder: Path
) -> tuple[torch.Tensor, torch.Tensor]:
    path = folder / segment.file
    size = _size(path)
    if size != segment.size_bytes:
        raise SnapshotUnusable(
            folder, f"{segment.file} has {size} bytes, expected {segment.size_bytes}"
        )
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise SnapshotUnusable(folder, f"{segment.file} cannot be read: {error}") from error
    shape = (layout.layers, layout.heads, segment.stop - segment.start, layout.width)
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    if found != {"k": (shape, layout.dtype), "v": (shape, layout.dtype)}:
        raise SnapshotUnusable(folder, f"{segment.file} holds {found}, expected k and v of {shape}")
    if tensor_checksum(tensors["k"], tensors["v"]).hex() != segment.checksum:
        raise SnapshotUnusable(folder, f"{segment.file} is damaged: its checksum does not match")
    return tensors["k"], tensors["v"]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _digest(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()
