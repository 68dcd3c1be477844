"""`transformers serve` with the weights of `nano`: the OpenAI-compatible server that comes with the library."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path

START_LIMIT_S = 120.0
ONE_AT_A_TIME: Sequence[str] = ()
# Left alone it takes more than half of the machine's memory for KV; these pages hold far more than the agents need,
# and it is faster with them.
CONTINUOUS_BATCHING = (
    *("--continuous-batching", "--attn-implementation", "sdpa"),
    *("--cb-num-blocks", "64", "--cb-max-batch-tokens", "1024"),
)
LAUNCH = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from transformers.cli.transformers import app
app()
"""
"""The command `transformers`, ended when stdin closes: it does not outlive the process that started it."""
# How the model writes a tool call, as transformers wants it declared beside a tokenizer.
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*<\|im_end\|>", "content": "text"},
    },
}


@contextlib.contextmanager
def serve(
    weights: Path, *, name: str, options: Sequence[str], threads: int, packages: Path | None = None
) -> Iterator[str]:
    """Run the server in a process of its own for as long as the block runs; yields its base URL.

    Args:
        weights: the folder of the model.
        name: the model name that requests give.
        options: of the command ``transformers serve``.
        threads: torch threads.
        packages: a folder of packages that the server takes before the installed ones.

    Raises:
        RuntimeError: it did not start; the text ends with what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepare(weights, Path(folder, name))
        port = _free_port()
        command = [sys.executable, "-c", LAUNCH, "serve", name, *options]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        command += ["--device", "cpu", "--dtype", "float32"]
        with Path(folder, "log").open("w+") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(threads, packages),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the agents first: they stop the server
            )
            try:
                _wait_until_healthy(process, port, Path(folder, "log"))
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                _stop(process)


def prepare(weights: Path, folder: Path) -> None:
    """Copy the model, and tell the server's parser how it writes tool calls."""
    shutil.copytree(weights, folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    config.setdefault("response_template", RESPONSE_TEMPLATE)
    path.write_text(json.dumps(config), "utf-8")


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment(threads: int, packages: Path | None) -> dict[str, str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    return environment


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(HTTPConnection("127.0.0.1", port)) as http,
        ):
            http.request("GET", "/health")
            if http.getresponse().status == 200:
                return
        time.sleep(0.2)
    status = process.poll()
    found = "it takes too long" if status is None else f"it ended with status {status}"
    printed = "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
    raise RuntimeError(f"transformers serve did not start: {found}. It printed:\n{printed}")
