"""A model server that answers from the recording, with as little capacity as a small GPU or an API quota has.

It decodes ``slots`` answers at once, each as fast as its tokens go, and turns further requests away with status 429.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS_PER_INPUT_TOKEN = 0.00001
SECONDS_PER_OUTPUT_TOKEN = 0.0004


@dataclass
class Server:
    """The running server; the counts are there when it has stopped."""

    base_url: str
    requests: int = 0
    refused: int = 0


@contextmanager
def serve(recording: Path, *, slots: int | None = None, paced: bool = True) -> Iterator[Server]:
    """Run the server in a process of its own, for as long as the block runs."""
    command = [sys.executable, __file__, str(recording), str(slots or 0), str(int(paced))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    ready = process.stdout.readline()
    if not ready:
        raise RuntimeError("the model server did not start; its message is above")
    server = Server(json.loads(ready)["base_url"])
    try:
        yield server
    finally:
        process.stdin.close()
        counts = json.loads(process.stdout.read())
        server.requests, server.refused = counts["requests"], counts["refused"]
        process.wait(10)


def main(recording: str, slots: int, paced: bool) -> None:
    """Serve until stdin closes; at the end, print how many requests came and how many were turned away."""
    from agentkernel.testing import OpenAIServer, Reply
    from agentkernel.testing.openai_server import Usage
    from agentkernel_core_replay import Recordings

    recordings = Recordings(match="inputs")
    recordings.load(Path(recording))
    counts = {"requests": 0, "refused": 0}

    def answer(request) -> Reply:
        counts["requests"] += 1
        if slots and server.in_flight > slots:
            counts["refused"] += 1
            return Reply(status=429, content="every slot is busy")
        found = recordings.find(request.payload["messages"])
        if found is None:
            return Reply(status=404, content="this conversation was not recorded")
        usage = found.usage
        seconds = (
            usage.input_tokens * SECONDS_PER_INPUT_TOKEN
            + usage.output_tokens * SECONDS_PER_OUTPUT_TOKEN
        )
        return Reply(
            content=found.text,
            usage=Usage(usage.input_tokens, usage.output_tokens),
            delay_s=seconds if paced else 0.0,
        )

    with OpenAIServer(answer, requests_kept=1) as server:
        print(json.dumps({"base_url": server.base_url}), flush=True)
        sys.stdin.read()
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1")
