"""Questions for `nano`, with the tool call and the answer that are right for each.

Training, evaluation and examples draw from one generator; three sets never overlap, whatever their seeds:

* training: texts outside one digest class of twenty, names without an unseen word;
* held out: texts in that digest class, names as in training;
* unseen names: every name in the call consists of words that training never uses in a name.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from agentkernel_core_nano._makers import MAKERS
from agentkernel_core_nano._names import digest_class
from agentkernel_core_nano._question import NO_TOOL, Question

__all__ = ["KINDS", "NO_TOOL", "Question", "generate", "is_held_out", "stream"]

KINDS = tuple(kind for kind in MAKERS if kind not in ("chat", "other"))
_NAMING = ("lookup", "recall", "remember", "send", "weather")
_HELD_OUT_CLASSES = 20


def generate(
    seed: int, count: int, *, held_out: bool = False, unseen_names: bool = False
) -> list[Question]:
    """The first ``count`` questions of a seed; kinds come about equally often. No two have the same text.

    With ``held_out`` or ``unseen_names`` all questions call a tool and none can occur in training.
    """
    distinct: dict[str, Question] = {}
    for question in stream(seed, held_out=held_out, unseen_names=unseen_names):
        distinct.setdefault(question.text, question)
        if len(distinct) == count:
            break
    return list(distinct.values())


def stream(seed: int, *, held_out: bool = False, unseen_names: bool = False) -> Iterator[Question]:
    """The endless sequence of a seed's questions; texts may repeat."""
    rng = random.Random(seed)
    kinds = list(_NAMING if unseen_names else KINDS if held_out else (*KINDS * 6, "chat", "other"))
    while True:
        question = MAKERS[rng.choice(kinds)](rng, unseen_names)
        if unseen_names or question.tool is None or is_held_out(question.text) == held_out:
            yield question


def is_held_out(text: str) -> bool:
    """Whether training leaves out every question with this text; case and outer punctuation do not count."""
    return digest_class(text.casefold().strip(" .?!,"), _HELD_OUT_CLASSES) == 0
