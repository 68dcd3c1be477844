"""Adapters for the proof of AdapterKit: a correct one, and one defect each."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import eager_adapter

from agentkernel.api import Adapter, Seam, Target, hookimpl
from agentkernel.testing.kits import AdapterKit

TARGET = Target(distribution="some-framework", supported=">=1.2,<2", module="someframework")
HYPOTHESIS = Target(distribution="hypothesis", supported=">=1,<1000", module="hypothesis")
PYTEST = Target(distribution="pytest", supported=">=1,<1000", module="pytest")


def passing(original: Callable[..., Any]) -> Callable[..., Any]:
    return original


def seam(attribute: str = "Client.create", **fields: Any) -> Seam:
    known: dict[str, Any] = {"module": "someframework.llm", "kind": "llm", "replace": passing}
    return Seam(attribute=attribute, **{**known, **fields})


class PluginOf:
    """A plugin whose adapter has these targets and seams."""

    def __init__(
        self, *seams: Seam, targets: Sequence[Target] = (TARGET,), not_covered: Sequence[str] = ()
    ) -> None:
        self._fields = {
            "targets": targets,
            "not_covered": not_covered,
            "seams": lambda _, target: seams,
        }

    @hookimpl
    def create_adapter(self) -> Adapter:
        adapter: Adapter = type("Made", (Adapter,), self._fields)()
        return adapter


class TestCorrect(AdapterKit):
    plugin = PluginOf(seam(), seam("Tool.run", kind="tool"), not_covered=["speech"])


class TestCorrectAndInstalled(AdapterKit):
    plugin = PluginOf(
        seam("integers", module="hypothesis.strategies", kind="tool"), targets=[HYPOTHESIS]
    )
    targets_installed = True


class TestImportsTheFrameworkAtImport(AdapterKit):
    plugin = eager_adapter
    breaks = "test_importing_the_plugin_imports_nothing_of_the_framework"
    because = "imports otherframework"


class Lazy:
    """Imports the framework when it is asked for the seams."""

    @hookimpl
    def create_adapter(self) -> Adapter:
        class Made(Adapter):
            targets = (TARGET,)

            def seams(self, target: Target) -> Sequence[Seam]:
                with contextlib.suppress(ImportError):
                    importlib.import_module("someframework.llm")
                return (seam(),)

        return Made()


class TestImportsTheFrameworkForItsSeams(AdapterKit):
    plugin = Lazy()
    breaks, because = "test_seams_and_reports_import_nothing_of_the_framework", "someframework"


class Loaded:
    """Imports a framework that is loaded already, so that no finder is asked."""

    @hookimpl
    def create_adapter(self) -> Adapter:
        class Made(Adapter):
            targets = (PYTEST,)

            def seams(self, target: Target) -> Sequence[Seam]:
                import pytest

                return (seam("MonkeyPatch", module=pytest.__name__),)

        return Made()


class TestImportsALoadedFramework(AdapterKit):
    plugin = Loaded()
    breaks, because = "test_seams_and_reports_import_nothing_of_the_framework", "pytest"


class TestHasNoTarget(AdapterKit):
    plugin = PluginOf(seam(), targets=())
    breaks, because = "test_targets_are_well_formed", "at least one target"


class TestHasABadDistributionName(AdapterKit):
    plugin = PluginOf(
        seam(),
        targets=[
            Target(distribution="some framework!", supported=">=1,<2", module="someframework")
        ],
    )
    breaks, because = "test_targets_are_well_formed", "InvalidName|invalid"


class TestHasAnOpenRange(AdapterKit):
    plugin = PluginOf(
        seam(), targets=[Target(distribution="x", supported=">=1", module="someframework")]
    )
    breaks, because = "test_version_ranges_parse_and_are_bounded", "end the range"


class TestHasABadRange(AdapterKit):
    plugin = PluginOf(
        seam(), targets=[Target(distribution="x", supported="1.x", module="someframework")]
    )
    breaks, because = "test_version_ranges_parse_and_are_bounded", "InvalidSpecifier"


class TestHasNoSeams(AdapterKit):
    plugin = PluginOf()
    breaks, because = "test_every_target_has_seams", "no seams"


class TestHasAnUnknownKind(AdapterKit):
    plugin = PluginOf(seam(kind="model"))
    breaks, because = "test_seams_are_well_formed", "kind is one of"


class TestHasABadAttribute(AdapterKit):
    plugin = PluginOf(seam("Client.create()"))
    breaks, because = "test_seams_are_well_formed", "dotted path"


class TestReplacesTwice(AdapterKit):
    plugin = PluginOf(seam(), seam(kind="tool"))
    breaks, because = "test_no_attribute_is_replaced_twice", "Client.create"


class TestReplacementTakesNothing(AdapterKit):
    plugin = PluginOf(seam(replace=lambda: None))
    breaks, because = "test_replace_takes_the_original", "too many positional arguments"


class Changing:
    """Other seams each time."""

    def __init__(self) -> None:
        self._count = 0

    @hookimpl
    def create_adapter(self) -> Adapter:
        self._count += 1
        return PluginOf(seam(f"Client.create{self._count}")).create_adapter()


class TestChangesItsSeams(AdapterKit):
    plugin = Changing()
    breaks, because = "test_seams_are_the_same_every_time", "AssertionError"


class TestReportsALongText(AdapterKit):
    plugin = PluginOf(seam(), not_covered=["speech\nand pictures"])
    breaks, because = "test_reports_are_short_phrases", "speech"


class TestNamesAnAttributeThatIsGone(AdapterKit):
    plugin = PluginOf(seam("NoSuchThing.run", module="hypothesis"), targets=[HYPOTHESIS])
    targets_installed = True
    breaks, because = "test_seams_exist_in_the_installed_target", "NoSuchThing"


class TestClaimsATargetThatIsNotInstalled(AdapterKit):
    plugin = PluginOf(seam())
    targets_installed = True
    breaks, because = "test_seams_exist_in_the_installed_target", "no target is installed"
