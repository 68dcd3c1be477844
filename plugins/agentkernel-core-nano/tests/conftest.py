"""Makes the training scripts importable: what they render and measure is part of what is tested."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tokenizer():
    from transformers import AutoTokenizer

    from agentkernel_core_nano import weights_path

    return AutoTokenizer.from_pretrained(weights_path())
