"""``ak run``: the program runs as Python runs it, and what it imports is wrapped."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys

import pytest

from agentkernel.cli.launching import BOOTSTRAP

REPORT = "agentkernel: toychat: toychat 1.0, 1 seams\n"
NOT_INSTALLED = "agentkernel: no adapter is installed"

CHAT = "import toychat; print(toychat.chat('hello'))"
KERNEL = "from agentkernel.sdk import find_kernel; print(getattr(find_kernel(), 'state', None))"

SELF = """
import json, sys
print(json.dumps([sys.argv, sys.path, __name__, __file__, sys.flags.optimize]))
"""

CORE = """
import importlib
from agentkernel.api import AgentKernelError, CoreCapabilities, LLMCore, NoOptions, hookimpl

class Core(LLMCore):
    capabilities = CoreCapabilities()
    async def start(self):
        {start}
    async def execute(self, call, emit): ...

@hookimpl
def create_llm_core(name, options: NoOptions):
    return Core()
"""


def script(here, source, name="program.py"):
    (here / name).write_text(source)
    return name


def as_python(here, *arguments, site):
    """What plain Python prints."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(site.folder), path()]))}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=here)


def path():
    return os.environ.get("PYTHONPATH", "")


def test_script_sees_what_python_shows_it(process, here, toy):
    program = script(here, SELF)
    arguments = (program, "--flag", "-m", "a b", "--", "--set", "x")
    done = process("run", *arguments)
    assert json.loads(done.stdout) == json.loads(as_python(here, *arguments, site=toy).stdout)


def test_module_sees_what_python_shows_it(process, here, toy):
    script(here, SELF, "program.py")
    arguments = ("-m", "program", "--flag", "-m")
    done = process("run", *arguments)
    assert json.loads(done.stdout) == json.loads(as_python(here, *arguments, site=toy).stdout)


def test_stdin_reaches_the_program(process, here, toy):
    program = script(here, "import sys; print(sys.stdin.read().upper())")
    assert process("run", program, stdin="hello").stdout == "HELLO\n"


@pytest.mark.parametrize(
    ("source", "status"),
    [("pass", 0), ("import sys; sys.exit(7)", 7), ("1 / 0", 1)],
    ids=["success", "exit", "exception"],
)
def test_exit_status_is_the_programs(process, here, toy, source, status):
    assert process("run", script(here, source)).returncode == status


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_death_by_signal_is_the_programs(process, here, toy):
    program = script(here, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert process("run", program).returncode == -signal.SIGTERM


def test_failing_program_shows_its_own_traceback_only(process, here, toy):
    done = process("run", script(here, "1 / 0"))
    plain = as_python(here, "program.py", site=toy)
    assert done.stderr == plain.stderr


@pytest.mark.parametrize("arguments", [["missing.py"], ["-m", "missing"]])
def test_missing_program_fails_as_in_python(process, here, toy, arguments):
    done, plain = process("run", *arguments), as_python(here, *arguments, site=toy)
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)


def test_no_program_is_wrong_usage(ak):
    result = ak("run")
    assert result.exit_code == 2
    assert "ak run SCRIPT" in result.stderr


def test_framework_is_wrapped_before_the_program_has_it(process, here, toy):
    done = process("run", script(here, CHAT))
    assert done.stdout == "wrapped, said hello\n"
    assert REPORT in done.stderr


def test_seam_in_the_framework_s_own_module_is_wrapped(process, here, site):
    site.add("toychat", modules={"toychat.py": "def chat(prompt):\n    return 'said ' + prompt"})
    site.add_adapter("toychat")
    assert process("run", script(here, CHAT)).stdout == "wrapped, said hello\n"


def test_wrapped_module_is_as_python_makes_it(process, here, toy):
    source = """
import importlib.util, sys, toychat
assert sys.modules["toychat"] is toychat
assert toychat.__loader__ is toychat.__spec__.loader
print(type(toychat.__loader__).__name__, importlib.util.find_spec("toychat").name)
"""
    assert process("run", script(here, source)).stdout == "SourceFileLoader toychat\n"


def test_looking_for_the_framework_does_not_wrap(process, here, toy):
    source = f"import importlib.util; importlib.util.find_spec('toychat'); {KERNEL}"
    assert process("run", script(here, source)).stdout == "None\n"


def test_framework_that_fails_to_import_fails_as_in_python(process, here, toy):
    (toy.folder / "toychat" / "client.py").write_text("raise ImportError('broken')")
    source = "try:\n    import toychat\nexcept ImportError as e:\n    print(e)"
    assert process("run", script(here, source)).stdout == "broken\n"


def test_kernel_starts_with_the_framework(process, here, toy):
    done = process("run", script(here, f"{KERNEL}; import toychat; print(find_kernel().state)"))
    assert done.stdout == "None\nrunning\n"


def test_without_a_framework_nothing_of_agentkernel_is_imported(process, here, toy):
    source = "import sys, threading; print([m for m in sys.modules if m.startswith(PREFIXES)])"
    prefixes = ("agentkernel", "msgspec", "pluggy", "stevedore", "wrapt", "asyncio")
    done = process("run", script(here, source.replace("PREFIXES", repr(prefixes))))
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_path_of_the_program_has_no_trace_of_us(process, here, toy):
    source = (
        "import sys; print([p for p in sys.path if 'bootstrap' in p], 'sitecustomize' in dir())"
    )
    assert process("run", script(here, source)).stdout == "[] False\n"


def test_child_processes_are_wrapped_and_only_the_main_one_reports(process, here, toy):
    source = f"""
import subprocess, sys, toychat
print(toychat.chat("main"), flush=True)
subprocess.run([sys.executable, "-c", {CHAT!r}], check=True)
"""
    done = process("run", script(here, source))
    assert done.stdout == "wrapped, said main\nwrapped, said hello\n"
    assert done.stderr.count(REPORT) == 1


def test_child_of_a_program_that_imports_no_framework_is_wrapped(process, here, toy):
    source = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHAT!r}], check=True)"
    done = process("run", script(here, source))
    assert (done.stdout, done.stderr) == ("wrapped, said hello\n", "")


def test_child_without_agentkernel_runs_and_says_nothing(process, here, toy, tmp_path):
    (tmp_path / "other" / "agentkernel").mkdir(parents=True)
    (tmp_path / "other" / "agentkernel" / "__init__.py").write_text("raise ImportError('none')")
    source = f"""
import os, subprocess, sys
sys.exit(subprocess.run([sys.executable, "-c", {CHAT!r}], env={{**os.environ, "PYTHONPATH":
    os.pathsep.join([{str(BOOTSTRAP)!r}, {str(tmp_path / "other")!r}, {str(toy.folder)!r}])}}).returncode)
"""
    done = process("run", script(here, source))
    assert (done.returncode, done.stdout, done.stderr) == (0, "said hello\n", "")


def test_sitecustomize_of_the_environment_still_runs(process, here, toy):
    (toy.folder / "sitecustomize.py").write_text("import sys; sys.greeting = 'hello'")
    source = f"import sitecustomize, sys; print(sys.greeting, sitecustomize.__file__); {CHAT}"
    done = process("run", script(here, source))
    theirs = toy.folder / "sitecustomize.py"
    assert done.stdout == f"hello {theirs}\nwrapped, said hello\n"


def test_sitecustomize_that_fails_does_so_as_in_python_and_wraps_nonetheless(process, here, toy):
    (toy.folder / "sitecustomize.py").write_text("raise RuntimeError('theirs')")
    done = process("run", "--quiet", script(here, CHAT))
    plain = as_python(here, "-c", "pass", site=toy)
    assert done.stdout == "wrapped, said hello\n"
    assert "RuntimeError: theirs" in plain.stderr
    assert done.stderr == 2 * plain.stderr  # of `ak` itself, and of the program


def test_bootstrap_is_syntax_of_old_pythons_and_imports_nothing_at_first():
    tree = ast.parse((BOOTSTRAP / "sitecustomize.py").read_text(), feature_version=(3, 7))
    imported = [
        alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
    ]
    assert imported == ["os", "sys"]
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.AnnAssign))]


def test_quiet_reports_nothing(process, here, toy):
    assert process("run", "--quiet", script(here, CHAT)).stderr == ""


def test_it_says_at_once_that_no_adapter_is_installed(process, here):
    done = process("run", script(here, "print('ran')"))
    if NOT_INSTALLED in done.stderr:  # else the environment of the tests has adapters
        assert done.stderr.count("\n") == 1
    assert done.stdout == "ran\n"


EMBEDDED = """
from agentkernel.api import NoOptions, hookimpl
from agentkernel.testing import FakeCore

@hookimpl
def create_llm_core(name, options: NoOptions):
    return FakeCore("embedded " + name, models=["nano"])
"""

KEY = "import os; print(os.environ.get('OPENAI_API_KEY'))"


@pytest.fixture
def embedded(toy):
    """The core ``tiny``, the default one where no other is configured."""
    plugins = {"llm_core:tiny": "tiny_core"}
    toy.add("agentkernel-core-tiny", modules={"tiny_core.py": EMBEDDED}, plugins=plugins)
    return {"OPENAI_API_KEY": "", "AGENTKERNEL_KERNEL__DEFAULT_CORE": "tiny"}


def test_with_no_core_and_no_key_it_says_on_one_line_who_answers(process, here, embedded):
    done = process("run", "--framework", "toychat", script(here, KEY), env=embedded)
    assert done.stderr == (
        "agentkernel: no LLM core is configured and OPENAI_API_KEY is not set: clients that bring no key "
        "are answered by 'tiny', the small embedded model\n"
    )
    assert done.stdout == "agentkernel-embedded\n"


@pytest.mark.parametrize(
    "setting",
    [
        {"OPENAI_API_KEY": "sk-own"},
        {"AGENTKERNEL_KERNEL__DEFAULT_CORE": ""},
        {"AGENTKERNEL_CORES__MAIN__PLUGIN": "replay"},
    ],
)
def test_a_key_or_a_core_or_a_refusal_leaves_everything_as_it_is(process, here, embedded, setting):
    env = {**embedded, **setting}
    done = process("run", "--framework", "toychat", script(here, KEY), env=env)
    assert (done.stderr, done.stdout) == ("", env["OPENAI_API_KEY"] + "\n")


def test_it_says_why_an_adapter_wraps_nothing(process, here, toy):
    (toy.folder / "toychat-1.0.dist-info" / "METADATA").write_text("Name: toychat\nVersion: 9.0\n")
    done = process("run", "--framework", "toychat", script(here, "print('ran')"))
    assert "toychat: not wrapped: toychat 9.0 is installed, supported is >=1,<2" in done.stderr
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_unknown_framework_is_refused_before_the_program_runs(process, here, toy):
    done = process("run", "--framework", "toychta", script(here, "print('ran')"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'toychat'?" in done.stderr


def test_settings_reach_the_kernel_of_the_program(process, here, toy):
    (here / "special.toml").write_text("[kernel]\nmax_waiting = 11\nmax_retries = 3\n")
    source = """
import os, toychat
from agentkernel import current_kernel
print(current_kernel().settings.kernel.max_waiting, current_kernel().settings.kernel.max_retries)
"""
    options = ("--config", "special.toml", "--set", "kernel.max_waiting=12", "--quiet")
    assert process("run", *options, script(here, source)).stdout == "12 3\n"


def test_program_that_goes_elsewhere_keeps_the_settings_of_its_start(process, here, toy):
    (here / "agentkernel.toml").write_text("[kernel]\nmax_waiting = 11\n")
    source = """
import os
os.chdir("/")
import toychat
from agentkernel import current_kernel
print(current_kernel().settings.kernel.max_waiting)
"""
    assert process("run", script(here, source)).stdout == "11\n"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("kernel.ordr=fifo", "--set kernel.ordr=fifo: kernel.ordr: expected one of the keys"),
        ("max_waiting=many", "--set max_waiting=many: kernel.max_waiting: expected"),
        ("nonsense", "expected KEY=VALUE"),
        ("ordr=fifo", "expected KEY=VALUE with a key such as kernel.order"),
    ],
)
def test_wrong_setting_is_refused_before_the_program_runs(process, here, toy, assignment, message):
    done = process("run", "--set", assignment, script(here, "print('ran')"))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_kernel_that_cannot_start_ends_the_program(process, here, toy):
    core = CORE.format(start="raise AgentKernelError('no such machine')")
    toy.add("core", modules={"toycore.py": core}, plugins={"llm_core:toy": "toycore"})
    source = "try:\n    import toychat\nexcept Exception:\n    pass\nprint('ran')"
    done = process("run", "--set", "cores.main.plugin=toy", script(here, source))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "agentkernel: nothing is wrapped: no such machine\n"


def test_kernel_whose_thread_imports_while_it_starts_does_not_wait_for_ever(process, here, toy):
    core = CORE.format(start="importlib.import_module('colorsys')")
    toy.add("core", modules={"toycore.py": core}, plugins={"llm_core:toy": "toycore"})
    done = process("run", "--set", "cores.main.plugin=toy", script(here, CHAT))
    assert done.stdout == "wrapped, said hello\n"
