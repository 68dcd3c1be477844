"""Conformance kits: the contract of each plugin kind as tests to inherit.

::

    import my_plugin
    from agentkernel.testing.kits import OrderKit


    class TestMyOrder(OrderKit):
        plugin = my_plugin
        options = {"slots": 4}  # when it has any

A kit states only facts of the contract in :mod:`agentkernel.api`; what a plugin promises beyond it has tests of its own.
They need pytest and hypothesis (``pip install agentkernel[testing]``).
"""

from __future__ import annotations

from agentkernel.testing.kits.adapter import AdapterKit
from agentkernel.testing.kits.admission import AdmissionKit
from agentkernel.testing.kits.agent import AgentKit
from agentkernel.testing.kits.embedder import EmbedderKit
from agentkernel.testing.kits.hooks import HooksKit
from agentkernel.testing.kits.llm_core import CoreCalls, LLMCoreKit
from agentkernel.testing.kits.order import OrderKit
from agentkernel.testing.kits.placement import PlacementKit
from agentkernel.testing.kits.preemptible_core import PreemptibleCoreKit
from agentkernel.testing.kits.tool import ToolExample, ToolKit
from agentkernel.testing.kits.window import WindowKit

__all__ = [
    "AdapterKit",
    "AdmissionKit",
    "AgentKit",
    "CoreCalls",
    "EmbedderKit",
    "HooksKit",
    "LLMCoreKit",
    "OrderKit",
    "PlacementKit",
    "PreemptibleCoreKit",
    "ToolExample",
    "ToolKit",
    "WindowKit",
]
