"""For those who test plugins, adapters and programs: conformance kits, fakes, a fault server, pytest fixtures.

* :mod:`agentkernel.testing.kits`: the contract of each plugin kind as tests to inherit;
* :class:`FakeCore`, :class:`FakeClock`, :class:`FakeEmbedder`, :func:`recording_hooks`: a scripted core, a clock, an
  embedder, hooks that remember;
* :class:`OpenAIServer`: a scriptable OpenAI-compatible server on 127.0.0.1;
* :class:`SideBySide`: the same program, run as it is and run wrapped, compared;
* the pytest fixtures ``kernel``, ``fake_core`` and ``no_leaks``.

The names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentkernel.testing.fakes import (
        FakeClock,
        FakeCore,
        FakeEmbedder,
        Fault,
        RecordingHooks,
        recording_hooks,
    )
    from agentkernel.testing.kits import (
        AdapterKit,
        AdmissionKit,
        AgentKit,
        CoreCalls,
        EmbedderKit,
        HooksKit,
        LLMCoreKit,
        OrderKit,
        PlacementKit,
        PreemptibleCoreKit,
        ToolExample,
        ToolKit,
        WindowKit,
    )
    from agentkernel.testing.openai_server import OpenAIServer, Reply
    from agentkernel.testing.preemptible import FakePreemptibleCore
    from agentkernel.testing.side_by_side import SideBySide

__all__ = [
    "AdapterKit",
    "AdmissionKit",
    "AgentKit",
    "CoreCalls",
    "EmbedderKit",
    "FakeClock",
    "FakeCore",
    "FakeEmbedder",
    "FakePreemptibleCore",
    "Fault",
    "HooksKit",
    "LLMCoreKit",
    "OpenAIServer",
    "OrderKit",
    "PlacementKit",
    "PreemptibleCoreKit",
    "RecordingHooks",
    "Reply",
    "SideBySide",
    "ToolExample",
    "ToolKit",
    "WindowKit",
    "recording_hooks",
]

_HOMES = {
    **dict.fromkeys(
        ("FakeClock", "FakeCore", "FakeEmbedder", "Fault", "RecordingHooks", "recording_hooks"),
        "fakes",
    ),
    "FakePreemptibleCore": "preemptible",
    **dict.fromkeys(("OpenAIServer", "Reply"), "openai_server"),
    "SideBySide": "side_by_side",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'kits')}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
