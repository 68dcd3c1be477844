"""The contract of :class:`~agentkernel.api.Adapter`, as tests to inherit."""

from __future__ import annotations

import builtins
import contextlib
import importlib.abc
import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from unittest import mock

from agentkernel.api import Adapter, Seam, Target
from agentkernel.testing.kits._base import CreatedKit, needs

__all__ = ["AdapterKit"]

_KINDS = ("llm", "tool", "code", "program")

_IMPORT_ALONE = """
import importlib, importlib.abc, json, sys
plugin, framework = json.loads(sys.argv[1])
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in framework:
            print("imports", name)
            sys.stdout.flush()
sys.meta_path.insert(0, Watch())
importlib.import_module(plugin)
"""

_RESOLVE = """
import importlib, json, operator, sys
for module, attribute in json.loads(sys.argv[1]):
    try:
        operator.attrgetter(attribute)(importlib.import_module(module))
    except Exception as error:
        print(f"{module}.{attribute}: {type(error).__name__}: {error}")
"""


class AdapterKit(CreatedKit):
    """Conformance of an adapter plugin.

    Attributes:
        targets_installed: True where the test environment has a target installed in a supported version; every seam
            must then exist in it.
    """

    kind = "adapter"
    targets_installed: ClassVar[bool] = False

    def make(self) -> Adapter:
        made = self.create()
        assert isinstance(made, Adapter), (
            f"create_adapter returns an Adapter, found {type(made).__name__}"
        )
        return made

    def test_importing_the_plugin_imports_nothing_of_the_framework(self) -> None:
        name = (
            self.plugin.__name__
            if isinstance(self.plugin, types.ModuleType)
            else type(self.plugin).__module__
        )
        seen = _python(_IMPORT_ALONE, [name, sorted(self._framework())])
        assert not seen, f"importing {name} {seen}"

    def test_seams_and_reports_import_nothing_of_the_framework(self) -> None:
        framework = self._framework()
        with _watched(framework) as imported:
            adapter = self.make()
            for target in adapter.targets:
                list(adapter.seams(target))
            list(adapter.not_covered)
            list(adapter.unreachable())
        assert not imported, (
            f"the adapter imports {imported}; a seam is patched when the program imports its module"
        )

    def test_targets_are_well_formed(self) -> None:
        from packaging.utils import canonicalize_name

        targets = self.make().targets
        assert targets, "an adapter names at least one target"
        for target in targets:
            assert isinstance(target, Target)
            canonicalize_name(target.distribution, validate=True)
            assert _is_dotted(target.module), f"{target.module!r} is no module name"

    def test_version_ranges_parse_and_are_bounded(self) -> None:
        from packaging.specifiers import SpecifierSet

        for target in self.make().targets:
            operators = {part.operator for part in SpecifierSet(target.supported)}
            pinned = operators & {"==", "===", "~="}
            assert pinned or {"<", "<="} & operators, (
                f"{target.distribution}{target.supported}: end the range at the first version that was not tested"
            )

    def test_every_target_has_seams(self) -> None:
        for target, seams in self._seams():
            assert seams, f"{target.distribution}: no seams"

    def test_seams_are_well_formed(self) -> None:
        for target, seams in self._seams():
            for seam in seams:
                where = f"{target.distribution}: {seam!r}"
                assert isinstance(seam, Seam), where
                assert seam.kind in _KINDS, f"{where}: kind is one of {', '.join(_KINDS)}"
                assert _is_dotted(seam.module), f"{where}: module is a dotted name"
                assert _is_dotted(seam.attribute), f"{where}: attribute is a dotted path"

    def test_no_attribute_is_replaced_twice(self) -> None:
        for target, seams in self._seams():
            places = [(seam.module, seam.attribute) for seam in seams]
            twice = sorted({place for place in places if places.count(place) > 1})
            assert not twice, f"{target.distribution}: {twice}"

    def test_replace_takes_the_original(self) -> None:
        for target, seams in self._seams():
            for seam in seams:
                assert callable(seam.replace), (
                    f"{target.distribution}: {seam.attribute}: replace is not callable"
                )
                inspect.signature(seam.replace).bind(lambda: None)

    def test_seams_are_the_same_every_time(self) -> None:
        first, second = self._seams(), self._seams()
        for (_, before), (_, after) in zip(first, second, strict=True):
            assert [_identity(seam) for seam in before] == [_identity(seam) for seam in after]

    def test_reports_are_short_phrases(self) -> None:
        adapter = self.make()
        for phrase in (*adapter.not_covered, *adapter.unreachable()):
            assert phrase.strip() and "\n" not in phrase, repr(phrase)

    @needs("targets_installed")
    def test_seams_exist_in_the_installed_target(self) -> None:
        adapter = self.make()
        installed = [target for target in adapter.targets if _installed(target)]
        assert installed, (
            "targets_installed is True, and no target is installed in a supported version"
        )
        places = [(seam.module, seam.attribute) for seam in adapter.seams(installed[0])]
        missing = _python(_RESOLVE, places)
        assert not missing, missing

    def _seams(self) -> list[tuple[Target, Sequence[Seam]]]:
        adapter = self.make()
        return [(target, adapter.seams(target)) for target in adapter.targets]

    def _framework(self) -> set[str]:
        """Top-level modules of the targets and of the seams' owners."""
        names = {target.module for target, _ in self._seams()}
        names |= {seam.module for _, seams in self._seams() for seam in seams}
        return (
            {name.partition(".")[0] for name in names}
            - set(sys.stdlib_module_names)
            - {"agentkernel"}
        )


def _identity(seam: Seam) -> tuple[str, str, str]:
    return seam.module, seam.attribute, seam.kind


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _installed(target: Target) -> bool:
    from packaging.specifiers import SpecifierSet

    try:
        version = importlib.metadata.version(target.distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return SpecifierSet(target.supported).contains(version, prereleases=True)


def _python(script: str, argument: Any) -> str:
    """What ``script`` prints in an interpreter of its own that finds the same modules."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, json.dumps(argument)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 or done.stdout, done.stderr
    return done.stdout.strip()


@contextlib.contextmanager
def _watched(framework: set[str]) -> Iterator[list[str]]:
    """Names of the framework's modules that the block imports, whether or not they were loaded before."""
    imported: list[str] = []
    original = builtins.__import__

    def note(name: str) -> None:
        if name.partition(".")[0] in framework:
            imported.append(name)

    def watched_import(name: str, *args: Any, **kwargs: Any) -> Any:
        note(name)
        return original(name, *args, **kwargs)

    class Watch(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            note(name)

    finder = Watch()
    sys.meta_path.insert(0, finder)
    try:
        with mock.patch.object(builtins, "__import__", watched_import):
            yield imported
    finally:
        sys.meta_path.remove(finder)
