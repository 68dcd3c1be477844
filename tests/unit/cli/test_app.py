"""The root command: what it imports, how it shows errors, completion."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

import agentkernel
from agentkernel.cli.app import app
from agentkernel.cli.config import config
from agentkernel.cli.lazy import LazyGroup
from agentkernel.cli.plugin import plugin

_MODULES_AFTER = """
import json, sys
from agentkernel.cli import main
sys.argv = ["ak", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

HEAVY = ("agentkernel.api", "agentkernel.kernel", "agentkernel.sdk", "asyncio", "msgspec")
FOREIGN = ("importlib.metadata", "pluggy", "rich", "stevedore", "wrapt")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugin", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    command = [sys.executable, "-c", _MODULES_AFTER, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = json.loads(done.stderr)
    assert "click" in modules
    assert not {*HEAVY, *FOREIGN} & set(modules)


def test_help_of_a_command_imports_no_kernel():
    for name in app.list_commands(click.Context(app)):
        command = [sys.executable, "-c", _MODULES_AFTER, name, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not {*HEAVY, *FOREIGN} & set(json.loads(done.stderr)), name


@pytest.mark.parametrize("group", [app, plugin, config], ids=lambda group: group.name)
def test_listed_help_is_the_commands_own(group):
    assert isinstance(group, LazyGroup)
    context = click.Context(group)
    for name, (_, text) in group.lazy.items():
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.short_help == text


def test_version_is_the_distributions(ak):
    assert ak("--version").output == f"agentkernel {agentkernel.__version__}\n"


def test_unknown_command_is_refused_with_the_nearest(ak):
    result = ak("pluign")
    assert result.exit_code == 2
    assert "Did you mean 'plugin'?" in result.stderr


def test_error_is_one_message_on_stderr_and_exit_2(process, here):
    (here / "agentkernel.toml").write_text('[kernel]\nordr = "fifo"\n')
    done = process("config", "show")
    assert done.returncode == 2
    assert "agentkernel.toml:2: kernel.ordr" in done.stderr
    assert "Did you mean 'order'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_the_traceback(process, here):
    (here / "agentkernel.toml").write_text('[kernel]\nordr = "fifo"\n')
    done = process("--debug", "config", "show")
    assert "Traceback" in done.stderr
    assert "SettingsError" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion_script_goes_to_stdout_and_its_place_to_stderr(ak, shell):
    result = ak("completion", shell)
    assert result.exit_code == 0
    assert "_AK_COMPLETE" in result.stdout
    assert "completion" in result.stderr


def test_completion_of_an_unknown_shell_is_refused(ak):
    assert ak("completion", "cmd").exit_code == 2


def test_commands_are_completed(process):
    env = {"_AK_COMPLETE": "bash_complete", "COMP_WORDS": "ak plu", "COMP_CWORD": "1"}
    assert process(env=env).stdout == "plain,plugin\n"
