"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

from agentkernel.api import AgentKernelError

__all__ = ["write_file"]


def write_file(path: Path, content: bytes) -> None:
    """Write or replace a file.

    Raises:
        AgentKernelError: it cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        cure = "Name a file in a folder that exists and is yours"
        raise AgentKernelError(f"{path}: cannot be written: {error}. {cure}") from error
