"""The core `transformers` on a GPU: that its answers are exact, then how fast it is.

    python benchmarks/gpu.py [--quick] [--json FILE] [--device cuda:0]

Runs `exactness.py` and `local_core.py` with that device; their tables say what was compared. Without a GPU nothing runs.
"""

# nox: manual - it needs a GPU

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _harness import Row, finish, parser

SCRIPTS = ("exactness.py", "local_core.py")


def run(script: str, options: list[str]) -> list[Row]:
    """The claims of a benchmark, which shows its own tables."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.json")
        path = Path(__file__).with_name(script)
        subprocess.check_call([sys.executable, str(path), "--json", str(rows), *options])
        return [Row(**row) for row in json.loads(rows.read_text())]


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--device", default="cuda", help="as torch names it")
    arguments = options.parse_args()

    import torch

    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here, so nothing was run: install a build of torch for it")
    print(f"{torch.cuda.get_device_name(arguments.device)}, torch {torch.__version__}", flush=True)
    passed_on = ["--device", arguments.device, *(["--quick"] if arguments.quick else [])]
    finish([row for script in SCRIPTS for row in run(script, passed_on)], arguments.json)


if __name__ == "__main__":
    main()
