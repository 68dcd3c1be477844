"""What is loaded when: nothing at import, and for a kernel without configuration only the kernel itself."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FORBIDDEN = {
    "aiohttp",
    "autogen",
    "click",
    "httpx",
    "jsonschema_rs",
    "numpy",
    "openai",
    "packaging",
    "rich",
    "stevedore",
    "torch",
    "wrapt",
}
"""What only some feature needs, and is imported with it."""


def plugin_modules() -> set[str]:
    """Modules of the plugins and adapters that are installed here."""
    return {
        entry_point.module.partition(".")[0]
        for distribution in importlib.metadata.distributions()
        for entry_point in distribution.entry_points
        if entry_point.group.startswith("agentkernel.")
    }


def loaded_by(program: str, folder: Path) -> set[str]:
    """The modules that a program adds to a fresh interpreter, where nothing is configured."""
    wrapped = (
        "import sys\nbefore = set(sys.modules)\n"
        f"{textwrap.dedent(program)}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("AGENTKERNEL_")
    }
    environment |= {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", wrapped],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def top_level(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def foreign(modules: set[str]) -> set[str]:
    """Top-level modules that are neither Python's nor agentkernel's own."""
    return top_level(modules) - set(sys.stdlib_module_names) - {"agentkernel"}


def test_a_module_that_is_loaded_is_seen(tmp_path: Path) -> None:
    assert "wrapt" in foreign(loaded_by("import wrapt", tmp_path))


def test_plugins_that_are_installed_are_known() -> None:
    assert "agentkernel_order_fifo" in plugin_modules()


def test_import_agentkernel_loads_one_module_of_it_and_nothing_foreign(tmp_path: Path) -> None:
    loaded = loaded_by("import agentkernel", tmp_path)
    assert {module for module in loaded if module.startswith("agentkernel")} == {"agentkernel"}
    assert foreign(loaded) == set()
    assert not loaded & {"asyncio", "inspect", "logging", "socket", "ssl", "threading"}


def test_import_agentkernel_starts_no_thread_and_sets_no_environment(tmp_path: Path) -> None:
    program = """
        import os, threading
        before_import = dict(os.environ)
        import agentkernel
        assert threading.active_count() == 1
        assert dict(os.environ) == before_import
    """
    assert "agentkernel" in loaded_by(program, tmp_path)


def test_looking_at_the_names_loads_nothing(tmp_path: Path) -> None:
    loaded = loaded_by(
        "import agentkernel; dir(agentkernel); agentkernel.__all__; agentkernel.__version__",
        tmp_path,
    )
    assert {module for module in loaded if module.startswith("agentkernel")} == {"agentkernel"}


def test_kernel_without_configuration_loads_no_plugin_and_nothing_that_a_feature_needs(
    tmp_path: Path,
) -> None:
    loaded = loaded_by("from agentkernel import Kernel\nwith Kernel(): pass", tmp_path)
    assert foreign(loaded) <= {
        "exceptiongroup",
        "msgspec",
        "platformdirs",
        "pluggy",
        "tomli",
        "typing_extensions",
    }
    assert not top_level(loaded) & (FORBIDDEN | plugin_modules())
    layers = {
        ".".join(module.split(".")[:2]) for module in loaded if module.startswith("agentkernel")
    }
    assert layers == {"agentkernel", "agentkernel.api", "agentkernel.kernel"}


def test_wrap_loads_adapters_and_no_framework_and_no_other_plugin(tmp_path: Path) -> None:
    loaded = loaded_by(
        "import agentkernel\nagentkernel.wrap(quiet=True)\nagentkernel.unwrap()", tmp_path
    )
    adapters = {
        entry_point.module.partition(".")[0]
        for entry_point in importlib.metadata.entry_points(group="agentkernel.adapter")
    }
    assert top_level(loaded) & plugin_modules() <= adapters
    assert not top_level(loaded) & {
        "aiohttp",
        "autogen",
        "click",
        "numpy",
        "openai",
        "rich",
        "torch",
    }


@pytest.mark.parametrize("name", ["agentkernel.api", "agentkernel.kernel", "agentkernel.sdk"])
def test_no_package_loads_a_plugin_or_what_only_a_feature_needs(tmp_path: Path, name: str) -> None:
    loaded = loaded_by(f"import {name}", tmp_path)
    assert not top_level(loaded) & (FORBIDDEN | plugin_modules())
