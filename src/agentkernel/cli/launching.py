"""What a program and its children are started with so that they are wrapped: environment variables.

``bootstrap/sitecustomize.py`` is their reader. Settings travel as the variables that the kernel
reads anyway, so a program that starts a kernel of its own has them too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from agentkernel.api import Adapter, AgentKernelError, PluginError, SettingsError
from agentkernel.cli.config_files import CONFIG_VARIABLE, project_file, with_config
from agentkernel.cli.recorder import RECORD_VARIABLE, begin_recording
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.settings import KernelSettings, Settings, load_settings
from agentkernel.sdk import EMBEDDED_API_KEY, FrameworkReport, WrapReport, choose_target

__all__ = ["Plan", "plan", "replace_process"]

_KEY = "OPENAI_API_KEY"
BOOTSTRAP = Path(__file__).parent / "bootstrap"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to start the program.

    Attributes:
        environment: of the program.
        notice: what to say at once: that nothing will be wrapped, and why; which model answers when there is
            no other. Empty when there is nothing to say.
    """

    environment: Mapping[str, str]
    notice: str


def plan(
    *,
    config: Path | None,
    assignments: Sequence[str],
    frameworks: Sequence[str],
    quiet: bool,
    record: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
) -> Plan:
    """Check the settings and the frameworks, and begin the recording, before the program starts.

    Raises:
        SettingsError: a setting is unusable.
        PluginNotFound: an adapter that ``frameworks`` names is not installed.
        RecordingError: ``record`` cannot be written.
    """
    env = with_config(config, environ, cwd)
    project = project_file(env, cwd)
    if project is not None:
        env[CONFIG_VARIABLE] = str(project)  # the program may go to another directory
    named = dict(map(_variable, assignments))
    env.update({name: text.partition("=")[2] for name, text in named.items()})
    try:
        settings = load_settings(environ=env, cwd=cwd)
    except SettingsError as error:
        raise _as_typed(error, named) from error
    registry = PluginRegistry(allow=settings.allow, block=settings.block)
    reports, modules = _adapters(registry, frameworks)
    env["AGENTKERNEL_RUN_WATCH"] = ",".join(modules)
    env["AGENTKERNEL_RUN_FRAMEWORKS"] = ",".join(frameworks)
    env["AGENTKERNEL_RUN_MAIN"] = "quiet" if quiet else "report"
    env["PYTHONPATH"] = _bootstrap_first(env.get("PYTHONPATH", ""))
    if record is not None:
        env[RECORD_VARIABLE] = begin_recording(cwd / record, settings)
    notices = []
    if not any(report.wrapped for report in reports):
        notices.append(str(WrapReport(frameworks=tuple(reports))))
    if not env.get(_KEY) and _default_core_is_all(settings, registry):
        env[_KEY] = EMBEDDED_API_KEY
        notices.append(
            f"agentkernel: no LLM core is configured and {_KEY} is not set: clients that bring no key are "
            f"answered by {settings.kernel.default_core!r}, the small embedded model"
        )
    return Plan(environment=env, notice="" if quiet else "\n".join(notices))


def _default_core_is_all(settings: Settings, registry: PluginRegistry) -> bool:
    """Whether nothing is configured, and the default core is installed."""
    return not settings.cores and any(
        plugin.name == settings.kernel.default_core and plugin.status == "available"
        for plugin in registry.plugins("llm_core")
    )


def _bootstrap_first(pythonpath: str) -> str:
    others = pythonpath.split(os.pathsep) if pythonpath else []
    return os.pathsep.join([str(BOOTSTRAP), *(part for part in others if part != str(BOOTSTRAP))])


def _variable(assignment: str) -> tuple[str, str]:
    """``kernel.order=rr``, or ``order=rr`` for short, to the variable that means it."""
    key, equals, _ = assignment.partition("=")
    words = key.strip().split(".")
    if len(words) == 1 and words[0] in KernelSettings.__struct_fields__:
        words.insert(0, "kernel")
    if not equals or len(words) < 2 or not all(words):
        raise SettingsError(
            key=key,
            found=assignment,
            expected="KEY=VALUE with a key such as kernel.order or cores.main.plugin",
            source="--set",
        )
    return "AGENTKERNEL_" + "__".join(words).replace("-", "_").upper(), assignment


def _as_typed(error: SettingsError, named: Mapping[str, str]) -> AgentKernelError:
    """The error with the option that the user wrote in place of the variable it became."""
    for name, assignment in named.items():
        place = f"environment {name}"
        if error.source == place:
            return AgentKernelError(str(error).replace(place, f"--set {assignment}", 1))
    return error


def _adapters(
    registry: PluginRegistry, frameworks: Sequence[str]
) -> tuple[list[FrameworkReport], list[str]]:
    """What can be wrapped here, and the modules whose import shall wrap."""
    reports, modules = [], []
    for name in frameworks or [plugin.name for plugin in registry.plugins("adapter")]:
        try:
            adapter = registry.create("adapter", name)
        except PluginError as error:
            if frameworks:
                raise
            reports.append(_not_wrapped(name, str(error)))
            continue
        assert isinstance(adapter, Adapter)
        modules += [target.module for target in adapter.targets]
        target, version, reason = choose_target(adapter)
        if target is None:
            reports.append(_not_wrapped(name, reason))
        else:
            found = f"{target.distribution} {version}"
            reports.append(FrameworkReport(adapter=name, target=found, wrapped=True))
    return reports, modules


def _not_wrapped(name: str, reason: str) -> FrameworkReport:
    return FrameworkReport(adapter=name, target=name, wrapped=False, reason=reason)


def replace_process(arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become Python with these arguments. Where a process cannot, wait for one and exit as it did."""
    command = [sys.executable, *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, dict(environment))
    import signal
    import subprocess

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program gets it too, and decides
    sys.exit(subprocess.run(command, env=dict(environment), check=False).returncode)
