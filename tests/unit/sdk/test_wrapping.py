"""``wrap()`` and ``unwrap()``: which adapters are used, what the report says, and what is left behind."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import agentkernel
from agentkernel import Kernel, unwrap, wrap
from agentkernel.api import (
    Adapter,
    KernelNotStarted,
    PatchConflict,
    PluginNotFound,
    Seam,
    SettingsError,
    Target,
    hookimpl,
)
from agentkernel.sdk import (
    FrameworkReport,
    WrapReport,
    choose_target,
    context_for,
    current_kernel,
    find_kernel,
    use_kernel,
)

BOTS = """
    from agentkernel.api import Adapter, Seam, Target, hookimpl

    def louder(original):
        def replacement(*args, **kwargs):
            return "patched", original(*args, **kwargs)
        return replacement

    class Bots(Adapter):
        targets = (
            Target(distribution="bots", supported=">=1,<2", module="bots"),
            Target(distribution="bots-legacy", supported="==0.5.*", module="bots"),
        )
        not_covered = ("bots of your own",)

        def seams(self, target):
            return [
                Seam(module="bots.core", attribute="Bot.ask", kind="llm", replace=louder),
                Seam(module="bots.core", attribute="Bot.version", kind="tool", replace=louder),
            ]

    @hookimpl
    def create_adapter():
        return Bots()
"""


def louder(original: Any) -> Any:
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return "patched", original(*args, **kwargs)

    return replacement


class InProcess(Adapter):
    """An adapter of the test's own, for ``Kernel(plugins=...)``, about a distribution that is there: pytest's."""

    targets: Sequence[Target] = (Target(distribution="pytest", supported=">=8", module="pytest"),)

    def __init__(self, *places: str) -> None:
        self._places = places

    def seams(self, target: Target) -> Sequence[Seam]:
        places = [place.partition(":") for place in self._places]
        return [Seam(module=m, attribute=a, kind="llm", replace=louder) for m, _, a in places]

    @hookimpl
    def create_adapter(self) -> Adapter:
        return self


def kernel_with(**adapters: object) -> Kernel:
    """A kernel that sees no other adapters than these."""
    plugins = {("adapter", name): adapter for name, adapter in adapters.items()}
    allow = [f"adapter:{name}" for name in adapters]
    return Kernel({"plugins": {"allow": allow, "block": ["adapter:autogen"]}}, plugins=plugins)


def wrap_quietly(kernel: Kernel, **options: Any) -> dict[str, FrameworkReport]:
    report = wrap(kernel=kernel, quiet=True, **options)
    return {framework.adapter: framework for framework in report.frameworks}


def threads_of_kernels() -> list[str]:
    """Those that ``stop()`` waits for; idle workers of earlier kernels end when they come to it."""
    return [thread.name for thread in threading.enumerate() if thread.name == "agentkernel"]


@pytest.fixture
def bots(site: Any) -> Any:
    """The framework ``bots`` and its adapter, installed."""
    site.framework("bots")
    site.adapter("bots", BOTS)
    return site


# --- what is wrapped


def test_installed_framework_is_wrapped_without_being_imported(bots: Any) -> None:
    report = wrap(frameworks=["bots"], config={}, quiet=True)
    assert report.frameworks == (
        FrameworkReport(
            adapter="bots",
            target="bots 1.0",
            wrapped=True,
            seams=("bots.core:Bot.ask", "bots.core:Bot.version"),
            not_covered=("bots of your own",),
        ),
    )
    assert "bots" not in sys.modules
    core = importlib.import_module("bots.core")
    assert core.Bot().ask("x") == ("patched", "answer to x")


def test_framework_that_is_imported_already_is_wrapped_and_unwrapped(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    before = dict(vars(core.Bot))
    wrap(frameworks=["bots"], config={}, quiet=True)
    assert core.Bot().ask("x") == ("patched", "answer to x")
    assert core.Bot.version() == ("patched", "one")
    unwrap()
    assert dict(vars(core.Bot)) == before
    assert all(vars(core.Bot)[name] is value for name, value in before.items())


def test_without_a_choice_every_installed_adapter_is_used(bots: Any) -> None:
    site = bots
    site.framework("crews")
    site.adapter("crews", BOTS.replace("bots", "crews").replace("Bots", "Crews"))
    report = wrap(config={}, quiet=True)
    assert {"bots", "crews"} <= {
        framework.adapter for framework in report.frameworks if framework.wrapped
    }


def test_wrapping_twice_patches_once(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    first = wrap(frameworks=["bots"], config={}, quiet=True)
    patched = vars(core.Bot)["ask"]
    second = wrap(frameworks=["bots"], config={}, quiet=True)
    assert second == first
    assert vars(core.Bot)["ask"] is patched
    unwrap()
    assert core.Bot().ask("x") == "answer to x"


def test_wrapping_again_with_other_settings_is_refused_and_changes_nothing(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    wrap(frameworks=["bots"], config={}, quiet=True)
    patched = vars(core.Bot)["ask"]
    with pytest.raises(SettingsError, match=r"max_retries.*unwrap\(\) first"):
        wrap(frameworks=["bots"], max_retries=7, quiet=True)
    assert vars(core.Bot)["ask"] is patched


def test_a_name_without_an_agent_is_refused(bots: Any) -> None:
    with pytest.raises(TypeError, match=r"wrap\(agent, name=...\)"):
        wrap(name="coder", config={}, quiet=True)


def test_wrapping_from_many_threads_patches_once_and_starts_one_kernel(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    with ThreadPoolExecutor(8) as threads:
        reports = list(
            threads.map(lambda _: wrap(frameworks=["bots"], config={}, quiet=True), range(8))
        )
    assert len({str(report) for report in reports}) == 1
    assert core.Bot().ask("x") == ("patched", "answer to x")
    assert threads_of_kernels() == ["agentkernel"]


def test_wrap_unwrap_wrap_works(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    original = vars(core.Bot)["ask"]
    for _ in range(3):
        wrap(frameworks=["bots"], config={}, quiet=True)
        assert core.Bot().ask("x") == ("patched", "answer to x")
        unwrap()
        assert vars(core.Bot)["ask"] is original


def test_import_after_unwrap_is_not_patched(bots: Any) -> None:
    wrap(frameworks=["bots"], config={}, quiet=True)
    unwrap()
    assert importlib.import_module("bots.core").Bot().ask("x") == "answer to x"


def test_unwrap_without_wrap_does_nothing() -> None:
    unwrap()
    unwrap()
    assert find_kernel() is None


# --- the choice of the target


@pytest.mark.parametrize("version", ["1", "1.9.9", "1.0rc1.post1", "1.5.dev3", "1.0+local"])
def test_supported_version_is_chosen(site: Any, version: str) -> None:
    site.distribution("bots", version)
    site.adapter("bots", BOTS)
    adapter = importlib.import_module("adapter_bots").Bots()
    if version == "1.0rc1.post1":  # before 1.0, as pip sees it
        assert choose_target(adapter)[0] is None
    else:
        assert choose_target(adapter) == (adapter.targets[0], version, "")


def test_unsupported_version_is_reported_with_the_reason_and_not_imported(site: Any) -> None:
    site.framework("bots", "2.1")
    site.adapter("bots", BOTS)
    (report,) = wrap(frameworks=["bots"], config={}, quiet=True).frameworks
    assert not report.wrapped
    assert report.seams == ()
    assert (
        report.reason == "bots 2.1 is installed, supported is >=1,<2; bots-legacy is not installed"
    )
    assert "bots" not in sys.modules
    assert importlib.import_module("bots.core").Bot().ask("x") == "answer to x"


def test_second_target_is_taken_when_the_first_is_not_installed(site: Any) -> None:
    site.distribution("bots-legacy", "0.5.3")
    site.adapter("bots", BOTS)
    (report,) = wrap(frameworks=["bots"], config={}, quiet=True).frameworks
    assert (report.wrapped, report.target) == (True, "bots-legacy 0.5.3")


def test_framework_that_is_not_installed_is_reported(site: Any) -> None:
    site.adapter("bots", BOTS)
    (report,) = wrap(frameworks=["bots"], config={}, quiet=True).frameworks
    assert not report.wrapped
    assert report.reason == "bots is not installed; bots-legacy is not installed"


# --- adapters that cannot be used


def test_adapter_that_is_not_installed_is_an_error_that_names_the_install_line(bots: Any) -> None:
    with pytest.raises(PluginNotFound, match="pip install agentkernel-botz") as error:
        wrap(frameworks=["bots", "botz"], config={}, quiet=True)
    assert error.value.suggestion == "bots"
    assert "bots" in error.value.installed


def test_missing_adapter_leaves_nothing_patched_or_started(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    with pytest.raises(PluginNotFound):
        wrap(frameworks=["bots", "missing"], config={}, quiet=True)
    assert core.Bot().ask("x") == "answer to x"
    assert find_kernel() is None
    assert threads_of_kernels() == []


BROKEN = {
    "import": ("raise RuntimeError('broken while importing')", "broken while importing"),
    "nohook": ("x = 1", "create_adapter"),
    "create": (
        BOTS.replace("return Bots()", "raise OSError('broken while creating')"),
        "broken while creating",
    ),
    "result": (
        BOTS.replace("return Bots()", "return 7"),
        "must return an instance of agentkernel.api.Adapter",
    ),
    "seams": (
        BOTS.replace("return [", "raise KeyError('broken seams')\n            return ["),
        "broken seams",
    ),
    "noseam": (
        BOTS.replace(
            "return [",
            "return [Seam(module='bots.core', attribute='Bot.ask', kind='llm', replace=louder), 7,",
        ),
        "'int' object has no attribute",
    ),
    "range": (BOTS.replace(">=1,<2", "one to two"), "one to two"),
    "notargets": (BOTS.replace("targets =", "goals ="), "targets"),
    "unreach": (BOTS + "\n    Bots.unreachable = lambda self: 1 / 0", "division by zero"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_adapter_is_reported_and_does_not_stop_the_others(bots: Any, kind: str) -> None:
    source, why = BROKEN[kind]
    bots.adapter(f"a{kind}", source)
    core = importlib.import_module("bots.core")
    for _ in range(2):  # the second report says the same
        reports = {r.adapter: r for r in wrap(config={}, quiet=True).frameworks}
        assert not reports[f"a{kind}"].wrapped
        assert why in reports[f"a{kind}"].reason
        assert reports["bots"].wrapped
        assert core.Bot().ask("x") == ("patched", "answer to x")
    unwrap()
    assert core.Bot().ask("x") == "answer to x"


def test_broken_adapter_leaves_nothing_patched(site: Any) -> None:
    site.framework("bots")
    site.adapter("anoseam", BROKEN["noseam"][0])
    core = importlib.import_module("bots.core")
    original = vars(core.Bot)["ask"]
    (report,) = wrap(frameworks=["anoseam"], config={}, quiet=True).frameworks
    assert not report.wrapped
    assert vars(core.Bot)["ask"] is original


def test_blocked_adapter_is_reported_and_not_imported(bots: Any) -> None:
    reports = wrap(config={"plugins": {"block": ["adapter:bots"]}}, quiet=True).frameworks
    (report,) = [report for report in reports if report.adapter == "bots"]
    assert not report.wrapped
    assert "the block list forbids it" in report.reason
    assert "adapter_bots" not in sys.modules


def test_adapter_for_another_kernel_version_is_reported(site: Any) -> None:
    site.framework("bots")
    site.adapter("bots", BOTS, requires="agentkernel>=99")
    (report,) = wrap(frameworks=["bots"], config={}, quiet=True).frameworks
    assert "needs agentkernel>=99" in report.reason
    (report,) = [
        report for report in wrap(config={}, quiet=True).frameworks if report.adapter == "bots"
    ]
    assert "needs agentkernel>=99" in report.reason


def test_adapters_of_the_same_name_are_reported_once(bots: Any) -> None:
    bots.distribution("other-bots", entry_points="[agentkernel.adapter]\nbots = adapter_bots\n")
    reports = [
        report for report in wrap(config={}, quiet=True).frameworks if report.adapter == "bots"
    ]
    assert len(reports) == 1
    assert "the name is taken twice" in reports[0].reason


# --- the report


def test_report_says_what_is_covered_what_failed_and_what_is_out_of_reach() -> None:
    report = FrameworkReport(
        adapter="bots",
        target="bots 1.0",
        wrapped=True,
        seams=("a:b", "a:c"),
        failed=("a:d: no attribute",),
        not_covered=("own clients",),
        unreachable=("2 bots that exist",),
    )
    assert str(report) == (
        "bots: bots 1.0, 2 seams; NOT patched: a:d: no attribute; not covered: own clients; "
        "not reached: 2 bots that exist"
    )


def test_report_has_one_line_for_each_framework() -> None:
    reports = (
        FrameworkReport(adapter="bots", target="bots 1.0", wrapped=True, seams=("a:b",)),
        FrameworkReport(
            adapter="crews", target="crews", wrapped=False, reason="crews is not installed"
        ),
    )
    assert str(WrapReport(frameworks=reports)).splitlines() == [
        "agentkernel: bots: bots 1.0, 1 seams",
        "agentkernel: crews: not wrapped: crews is not installed",
    ]


def test_report_without_adapters_says_what_to_install() -> None:
    assert "pip install 'agentkernel[FRAMEWORK]'" in str(WrapReport(frameworks=()))


def test_report_goes_to_stderr(bots: Any, capsys: pytest.CaptureFixture[str]) -> None:
    report = wrap(frameworks=["bots"], config={})
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"{report}\n")
    assert captured.err.startswith(
        "agentkernel: bots: bots 1.0, 2 seams; not covered: bots of your own"
    )


def test_quiet_prints_nothing(bots: Any, capsys: pytest.CaptureFixture[str]) -> None:
    wrap(frameworks=["bots"], config={}, quiet=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_seam_that_fails_at_a_later_import_shows_in_the_next_report(bots: Any) -> None:
    bots.module("bots.core", "class Bot:\n    def ask(self, question):\n        return question")
    assert wrap(frameworks=["bots"], config={}, quiet=True).frameworks[0].failed == ()
    importlib.import_module("bots.core")
    (report,) = wrap(frameworks=["bots"], config={}, quiet=True).frameworks
    assert report.wrapped
    assert report.seams == ("bots.core:Bot.ask",)
    assert report.failed == (
        "bots.core:Bot.version: Bot has no attribute 'version' of its own or of a base class",
    )


def test_unreachable_objects_are_those_from_before_the_patches() -> None:
    class Seeing(InProcess):
        bots = ("a bot from before",)

        def unreachable(self) -> Sequence[str]:
            return self.bots

    adapter = Seeing()
    with kernel_with(seeing=adapter) as kernel:
        assert wrap_quietly(kernel)["seeing"].unreachable == ("a bot from before",)
        adapter.bots = ("a bot from before", "a bot that is reached")
        assert wrap_quietly(kernel)["seeing"].unreachable == ("a bot from before",)


# --- unwrap is all or nothing


@pytest.mark.parametrize("conflicting", ["first", "second"])
def test_conflict_in_one_framework_leaves_all_of_them_wrapped(
    loaded: Any, conflicting: str
) -> None:
    modules = {
        name: loaded(f"fw_{name}", "def ask():\n    return 1") for name in ("first", "second")
    }
    originals = {name: module.ask for name, module in modules.items()}
    with kernel_with(first=InProcess("fw_first:ask"), second=InProcess("fw_second:ask")) as kernel:
        wrap_quietly(kernel)
        ours = {name: module.ask for name, module in modules.items()}
        agent = InProcess()
        wrap(agent, kernel=kernel, quiet=True, name="coder")
        modules[conflicting].ask = lambda: "theirs"
        with pytest.raises(PatchConflict, match=f"fw_{conflicting}:ask"):
            unwrap()
        other = "second" if conflicting == "first" else "first"
        assert modules[other].ask is ours[other]
        assert current_kernel() is kernel
        assert context_for(agent, None).agent == "coder"
        modules[conflicting].ask = ours[conflicting]
        unwrap()
        assert {name: module.ask for name, module in modules.items()} == originals


def test_conflict_leaves_the_kernel_that_wrap_started_running(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    wrap(frameworks=["bots"], config={}, quiet=True)
    ours = core.Bot.ask
    core.Bot.ask = lambda self, question: "theirs"
    with pytest.raises(PatchConflict):
        unwrap()
    assert current_kernel().state == "running"
    core.Bot.ask = ours
    unwrap()
    assert threads_of_kernels() == []


def test_two_adapters_for_one_attribute_are_unwrapped(loaded: Any) -> None:
    module = loaded("fw_shared", "def ask():\n    return 1")
    original = module.ask
    with kernel_with(a=InProcess("fw_shared:ask"), b=InProcess("fw_shared:ask")) as kernel:
        wrap_quietly(kernel)
        assert module.ask() == ("patched", ("patched", 1))
        unwrap()
    assert module.ask is original


# --- the kernel


def test_kernel_that_wrap_started_is_stopped_by_unwrap(bots: Any) -> None:
    wrap(config={}, quiet=True)
    kernel = current_kernel()
    assert kernel.state == "running"
    unwrap()
    assert kernel.state == "stopped"
    assert find_kernel() is None
    assert threads_of_kernels() == []


def test_kernel_that_was_passed_in_is_not_stopped_by_unwrap() -> None:
    with kernel_with() as kernel:
        wrap_quietly(kernel)
        assert current_kernel() is kernel
        unwrap()
        assert kernel.state == "running"
        assert find_kernel() is None


def test_passing_the_kernel_that_wrap_started_does_not_change_who_stops_it() -> None:
    wrap(config={}, quiet=True)
    kernel = current_kernel()
    wrap(kernel=kernel, quiet=True)
    unwrap()
    assert kernel.state == "stopped"


def test_kernel_that_wrap_started_is_stopped_when_another_takes_its_place() -> None:
    wrap(config={}, quiet=True)
    first = current_kernel()
    with kernel_with() as second:
        wrap(kernel=second, quiet=True)
        assert (first.state, second.state) == ("stopped", "running")
        unwrap()


def test_kernel_of_the_process_is_used_where_none_is_passed() -> None:
    with kernel_with() as kernel:
        use_kernel(kernel)
        wrap(quiet=True)
        assert current_kernel() is kernel


def test_stopped_kernel_of_the_process_is_replaced() -> None:
    wrap(config={}, quiet=True)
    first = current_kernel()
    first.stop()
    wrap(config={}, quiet=True)
    assert current_kernel() is not first
    assert current_kernel().state == "running"


def test_without_wrap_there_is_no_current_kernel() -> None:
    with pytest.raises(KernelNotStarted):
        current_kernel()


def test_settings_reach_the_kernel(bots: Any) -> None:
    wrap(config={"kernel": {"max_waiting": 7, "max_retries": 1}}, max_retries=9, quiet=True)
    settings = current_kernel().settings.kernel
    assert (settings.max_waiting, settings.max_retries) == (7, 9)


def test_config_file_reaches_the_kernel(tmp_path: Any) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[kernel]\nmax_waiting = 11\n")
    wrap(config=path, quiet=True)
    assert current_kernel().settings.kernel.max_waiting == 11


BAD_SETTINGS: list[dict[str, Any]] = [
    {"config": {"kernel": {"max_waiting": "many"}}},
    {"config": {}, "no_such_setting": 1},
    {"config": "/no/such/file.toml"},
]


@pytest.mark.parametrize("options", BAD_SETTINGS)
def test_bad_settings_leave_nothing_patched_and_no_thread(
    bots: Any, options: dict[str, Any]
) -> None:
    core = importlib.import_module("bots.core")
    with pytest.raises(SettingsError):
        wrap(frameworks=["bots"], quiet=True, **options)
    assert core.Bot().ask("x") == "answer to x"
    assert find_kernel() is None
    assert threads_of_kernels() == []


def test_kernel_that_cannot_start_leaves_nothing_patched_and_no_thread(bots: Any) -> None:
    core = importlib.import_module("bots.core")
    with pytest.raises(PluginNotFound, match="pip install agentkernel-core-nowhere"):
        wrap(frameworks=["bots"], config={"cores": {"main": {"plugin": "nowhere"}}}, quiet=True)
    assert core.Bot().ask("x") == "answer to x"
    assert find_kernel() is None
    assert threads_of_kernels() == []


# --- what the user says about agents


class Bot:
    pass


def test_named_agent_carries_what_the_user_said() -> None:
    coder = Bot()
    with kernel_with() as kernel:
        wrap(coder, kernel=kernel, name="coder", tenant="red", priority=2, quiet=True)
        context = context_for(coder, "bot-7")
        assert (context.agent, context.tenant, context.priority) == ("coder", "red", 2)
        assert context_for(Bot(), "bot-7").agent == "bot-7"


def test_unwrap_forgets_what_the_user_said() -> None:
    coder = Bot()
    with kernel_with() as kernel:
        wrap(coder, kernel=kernel, name="coder", quiet=True)
        unwrap()
    assert context_for(coder, "bot-7").agent == "bot-7"


# --- processes


def run(program: str, site: Any) -> str:
    """What a program prints in an interpreter of its own that finds the site."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_has_a_kernel_of_its_own(bots: Any) -> None:
    program = """
        import os, sys
        import agentkernel
        from agentkernel.sdk import current_kernel
        import bots.core
        def ping(): return "pong"
        agentkernel.wrap(frameworks=["bots"], config={}, quiet=True)
        mine = current_kernel()
        child = os.fork()
        if child == 0:
            try:
                own = current_kernel()
                assert mine.state == "forked" and own.state == "running"
                report = agentkernel.wrap(frameworks=["bots"], config={}, quiet=True)
                assert report.frameworks[0].wrapped
                assert current_kernel() is own
                client = agentkernel.Client()
                client.add_tool(ping)
                assert client.call_tool("ping") == "pong"
                assert bots.core.Bot().ask("x") == ("patched", "answer to x")
                agentkernel.unwrap()
                assert bots.core.Bot().ask("x") == "answer to x"
            except BaseException as error:
                print(repr(error)); sys.stdout.flush()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert mine.state == "running"
        assert bots.core.Bot().ask("x") == ("patched", "answer to x")
        agentkernel.unwrap()
        print("child ended with", status)
    """
    assert run(program, bots) == "child ended with 0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_kernel_that_the_user_started_is_not_started_again_in_a_forked_child(bots: Any) -> None:
    program = """
        import os
        import agentkernel
        from agentkernel.api import KernelForked, LLMCall
        with agentkernel.Kernel({}) as kernel:
            agentkernel.wrap(kernel=kernel, frameworks=[], quiet=True)
            child = os.fork()
            if child == 0:
                try:
                    agentkernel.current_kernel().submit(LLMCall(messages=[]))
                except KernelForked:
                    os._exit(0)
                os._exit(1)
            print("child ended with", os.waitpid(child, 0)[1])
    """
    assert run(program, bots) == "child ended with 0"


def test_program_that_never_unwraps_ends_by_itself(bots: Any) -> None:
    program = """
        import agentkernel
        def ping(): return "pong"
        agentkernel.wrap(config={}, quiet=True)
        client = agentkernel.Client()
        client.add_tool(ping)
        print(client.call_tool("ping"))
    """
    assert run(program, bots) == "pong"


def test_wrap_is_a_name_of_the_package() -> None:
    assert (agentkernel.wrap, agentkernel.unwrap) == (wrap, unwrap)
