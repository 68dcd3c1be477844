"""Processes of `exactness.py` that die: a real kernel in a forked child, killed with SIGKILL in mid-answer, or not.

It talks in lines of JSON. Children are forked from a process that has imported everything and started nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from _local import quiet

from agentkernel import Client, Kernel
from agentkernel_core_transformers._engine import Engine
from agentkernel_core_transformers._generation import Generation

NEW_TOKENS = 65
CALL: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Count all the stars you can see."}],
    "max_tokens": NEW_TOKENS,
    "temperature": 1.0,
    "seed": 7,
}
SAVE_LIMIT_S = 20.0


class Watch:
    """Counts the tokens that this process computes, and kills it while it computes the one at `kill_at`.

    The kill waits until the first context is on disk: a process that dies before has nothing to resume from.
    """

    def __init__(self, contexts: Path, kill_at: int | None) -> None:
        self._contexts, self._kill_at = contexts, kill_at
        self.computed = 0

    def __call__(self, generation: Generation, row: torch.Tensor) -> None:
        """The engine's `on_logits`."""
        if len(generation.tokens) == self._kill_at:
            self._await_save()
            os.kill(os.getpid(), signal.SIGKILL)
        self.computed += 1

    def _await_save(self) -> None:
        ends_s = time.monotonic() + SAVE_LIMIT_S
        while not any(self._contexts.glob("*/*/head.json")):
            if time.monotonic() > ends_s:
                raise TimeoutError(f"no context was saved below {self._contexts}")
            time.sleep(0.001)


def answer(model: str, contexts: str, kill_at: int | None) -> dict[str, Any]:
    """In the child: the call's text, and how many of its tokens this process computed."""
    watch = Watch(Path(contexts), kill_at)
    start = Engine.start

    def start_watched(engine: Engine) -> None:
        engine.on_logits = watch
        start(engine)

    Engine.start = start_watched  # type: ignore[assignment,method-assign]
    config = {
        "cores": {"local": {"plugin": "transformers", "model": model, "dtype": "float32"}},
        "context": {"directory": contexts, "checkpoint_tokens": 1},
    }
    with Kernel(config) as kernel:
        found = Client(kernel).llm_chat(**CALL)
    return {"text": found.text, "tokens": found.usage.output_tokens, "computed": watch.computed}


def forked(model: str, contexts: str, kill_at: int | None) -> dict[str, Any]:
    """What the child answered, or the signal that ended it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            result = answer(model, contexts, kill_at)
        except BaseException as error:  # noqa: BLE001 - the parent reports it
            result = {"error": repr(error)}
        with os.fdopen(writer, "w") as pipe:
            json.dump(result, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return {"killed_by": os.WTERMSIG(status)}
    found: dict[str, Any] = json.loads(text)
    return found


def main() -> None:
    quiet()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if threading.active_count() != 1:
            raise RuntimeError("a process that forks must have no other threads")
        print(json.dumps(forked(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
