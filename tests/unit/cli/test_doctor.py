"""``ak doctor``: each check alone, in surroundings that the test makes."""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from agentkernel.api import (
    Adapter,
    Embedder,
    HeapOrder,
    LLMCore,
    Options,
    Order,
    SettingsError,
    Target,
    hookimpl,
)
from agentkernel.cli.checks import CHECKS, autogen, configured, installed, metagpt, run_checks
from agentkernel.cli.checks.surroundings import Installed, Surroundings, look_around
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.settings import Settings, load_settings


class ToyAdapter(Adapter):
    targets = (Target(distribution="Toy_Chat", supported=">=1,<2", module="toychat"),)

    def seams(self, target):
        return ()


class ToyOptions(Options, frozen=True):
    depth: int = 1


def plugin(**hooks):
    module = types.ModuleType("toy")
    for name, hook in hooks.items():
        setattr(module, name, hookimpl(hook))
    return module


@hookimpl
def create_adapter() -> Adapter:
    return ToyAdapter()


def create_order(options: ToyOptions) -> Order:
    return HeapOrder()  # type: ignore[abstract]


def create_order_by_likeness(options: ToyOptions, embedder: Embedder) -> Order:
    return HeapOrder()  # type: ignore[abstract]


def create_llm_core(name: str, options: ToyOptions) -> LLMCore:
    raise NotImplementedError("a check creates no core")


TOYS = {
    ("adapter", "toy"): plugin(create_adapter=create_adapter),
    ("order", "toy"): plugin(create_order=create_order),
    ("order", "alike"): plugin(create_order=create_order_by_likeness),
    ("llm_core", "toy"): plugin(create_llm_core=create_llm_core),
}


def around(
    *,
    python: tuple[int, int] = (3, 11),
    distributions: Mapping[str, str] = {},
    modules: Mapping[str, str] = {},
    settings: Mapping[str, object] | SettingsError = {},  # noqa: B006
    environ: Mapping[str, str] = {},
    temporary: Path = Path("/nowhere"),
    home: Path = Path("/nowhere"),
    plugins: Mapping[tuple[str, str], object] = TOYS,
    block: tuple[str, ...] = (),
) -> Surroundings:
    found = {
        name: Installed(
            name=name, version=version, modules=frozenset(modules.get(name, "").split())
        )
        for name, version in distributions.items()
    }
    return Surroundings(
        python=python,
        distributions=found,
        settings=settings
        if isinstance(settings, SettingsError)
        else load_settings(settings, environ={}),
        registry=PluginRegistry(extra=plugins, block=block),
        environ=environ,
        temporary=temporary,
        home=home,
        cwd=Path("/nowhere"),
    )


def only(findings):
    (finding,) = findings
    return finding


@pytest.mark.parametrize(
    ("version", "status"),
    [((3, 9), "problem"), ((3, 10), "ok"), ((3, 13), "ok"), ((3, 14), "warning")],
)
def test_python_version(version, status):
    finding = only(installed.python_version(around(python=version)))
    assert finding.status == status
    assert bool(finding.cure) == (status != "ok")


def test_blocked_plugin_is_a_warning_with_its_reason():
    findings = list(installed.plugins(around(block=("order:toy",))))
    (blocked,) = [finding for finding in findings if finding.check == "plugin order:toy"]
    assert blocked.status == "warning"
    assert "plugins.block" in blocked.cure


def test_rejected_plugin_is_a_problem():
    extra = {("oracle", "toy"): types.ModuleType("toy")}
    findings = {finding.check: finding for finding in installed.plugins(around(plugins=extra))}
    assert findings["plugin oracle:toy"].status == "problem"
    assert "knows no plugin kind" in findings["plugin oracle:toy"].cure


@pytest.mark.parametrize(
    ("distributions", "status", "summary"),
    [
        ({"toy-chat": "1.5"}, "ok", "wraps Toy_Chat 1.5"),
        ({"toy-chat": "2.0"}, "warning", "wraps nothing: Toy_Chat 2.0 is not supported"),
        ({}, "warning", "wraps nothing: Toy_Chat is not installed"),
    ],
)
def test_adapter_wraps_a_framework_that_is_installed_and_supported(distributions, status, summary):
    findings = {f.check: f for f in installed.adapters(around(distributions=distributions))}
    finding = findings["adapter toy"]
    assert (finding.status, finding.summary) == (status, summary)
    assert finding.cure == ("" if status == "ok" else 'pip install "Toy_Chat>=1,<2"')


def test_adapter_that_cannot_be_created_is_a_problem():
    def create_adapter() -> Adapter:
        raise RuntimeError("broken")

    extra = {("adapter", "toy"): plugin(create_adapter=create_adapter)}
    findings = {f.check: f for f in installed.adapters(around(plugins=extra))}
    assert findings["adapter toy"].status == "problem"
    assert "broken" in findings["adapter toy"].summary


def test_settings_that_cannot_be_read_are_a_problem_and_nothing_else_is_asked_of_them():
    error = SettingsError(key="kernel.x", found=1, expected="y", source="there")
    broken = around(settings=error)
    finding = only(configured.settings(broken))
    assert (finding.status, finding.summary) == ("problem", str(error))
    for check in (configured.scheduling, configured.cores, configured.extensions):
        assert not list(check(broken))


def test_sources_of_the_settings_are_named():
    assert only(configured.settings(around())).summary == "all defaults"
    given = around(settings={"kernel": {"order": "toy"}})
    assert only(configured.settings(given)).summary == "from argument"


def test_scheduling_plugin_that_is_installed_can_be_used():
    given = around(settings={"kernel": {"order": "toy"}, "order": {"toy": {"depth": 2}}})
    findings = {finding.check: finding for finding in configured.scheduling(given)}
    assert findings["order toy"].status == "ok"


def test_scheduling_plugin_with_invalid_options_is_a_problem():
    given = around(settings={"kernel": {"order": "toy"}, "order": {"toy": {"depth": "two"}}})
    findings = {finding.check: finding for finding in configured.scheduling(given)}
    assert findings["order toy"].status == "problem"
    assert "order.toy.depth" in findings["order toy"].summary


def test_scheduling_plugin_that_is_missing_is_a_problem_with_its_install_line():
    given = around(settings={"kernel": {"order": "no_such_order", "admission": ["no_such_one"]}})
    findings = {finding.check: finding for finding in configured.scheduling(given)}
    for check, line in (
        ("order no_such_order", "pip install agentkernel-order-no-such-order"),
        ("admission no_such_one", "pip install agentkernel-admission-no-such-one"),
    ):
        assert findings[check].status == "problem"
        assert line in findings[check].summary


def test_embedder_is_asked_for_where_the_order_takes_one_or_it_was_chosen():
    for kernel, found in (
        ({"order": "toy"}, []),
        ({"order": "no_such_order"}, []),
        ({"order": "alike"}, ["embedder hashing"]),
        ({"order": "toy", "embedder": "mine"}, ["embedder mine"]),
    ):
        findings = list(configured.extensions(around(settings={"kernel": kernel})))
        assert [one.check for one in findings] == found


def test_extensions_that_are_missing_are_problems():
    named = {"tools": ["no_tool"], "hooks": ["no_hooks"], "window": "no_window"}
    findings = list(configured.extensions(around(settings={"kernel": named})))
    assert [(f.check, f.status) for f in findings] == [
        ("tool no_tool", "problem"),
        ("hooks no_hooks", "problem"),
        ("window no_window", "problem"),
    ]


@pytest.mark.parametrize(
    ("table", "status", "summary"),
    [
        ({"plugin": "toy"}, "ok", "options valid"),
        ({"plugin": "toy", "dept": 1}, "problem", "Did you mean 'depth'?"),
        ({"plugin": "tyo"}, "problem", "Did you mean 'toy'?"),
    ],
)
def test_core_needs_its_plugin_and_valid_options(table, status, summary):
    finding = only(configured.cores(around(settings={"cores": {"main": table}})))
    assert (finding.check, finding.status) == ("core main", status)
    assert summary in finding.summary


@pytest.mark.parametrize(("version", "found"), [("0.10.0", 1), ("0.9", 0), ("0.2.35", 0)])
def test_pyautogen_without_the_module_autogen_is_a_problem(version, found):
    findings = list(autogen.module_of_pyautogen(around(distributions={"pyautogen": version})))
    assert len(findings) == found
    assert all('pip install "pyautogen==0.2.35"' in finding.cure for finding in findings)


def test_two_owners_of_the_module_autogen_are_a_problem():
    both = {"pyautogen": "0.2.35", "ag2": "0.9", "numpy": "1.0"}
    modules = {"pyautogen": "autogen", "ag2": "autogen", "numpy": "numpy"}
    found = only(autogen.owners_of_the_module(around(distributions=both, modules=modules)))
    assert found.status == "problem"
    assert "pyautogen 0.2.35, ag2 0.9" in found.summary
    one = around(distributions={"pyautogen": "0.2.35"}, modules=modules)
    assert not list(autogen.owners_of_the_module(one))


@pytest.mark.parametrize(
    ("distributions", "found"),
    [
        ({"pyautogen": "0.2.35", "numpy": "2.1"}, 1),
        ({"pyautogen": "0.2.35", "numpy": "1.26.4"}, 0),
        ({"pyautogen": "0.2.35"}, 0),
        ({"numpy": "2.1"}, 0),
    ],
)
def test_numpy_2_beside_autogen_02_is_a_problem(distributions, found):
    assert len(list(autogen.numpy_of_pyautogen(around(distributions=distributions)))) == found


AUTOGEN = {"pyautogen": "0.2.35", "tiktoken": "0.7"}


def fill(folder: Path) -> Path:
    folder.mkdir()
    for name in ("cl100k_base", "o200k_base"):
        url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
        (folder / hashlib.sha1(url.encode()).hexdigest()).touch()
    return folder


def test_encodings_that_are_not_cached_are_a_warning(tmp_path):
    given = around(distributions=AUTOGEN, temporary=tmp_path)
    finding = only(autogen.encodings_offline(given))
    assert finding.status == "warning"
    assert "cl100k_base, o200k_base" in finding.summary


def test_encodings_in_the_default_folder_are_fine(tmp_path):
    fill(tmp_path / "data-gym-cache")
    given = around(distributions=AUTOGEN, temporary=tmp_path)
    assert only(autogen.encodings_offline(given)).status == "ok"


def test_encodings_in_the_named_folder_are_fine(tmp_path):
    named = {"TIKTOKEN_CACHE_DIR": str(fill(tmp_path / "named"))}
    given = around(distributions=AUTOGEN, environ=named)
    assert only(autogen.encodings_offline(given)).status == "ok"


def test_encodings_without_a_cache_are_a_warning():
    given = around(distributions=AUTOGEN, environ={"TIKTOKEN_CACHE_DIR": ""})
    assert "switched off" in only(autogen.encodings_offline(given)).summary


def test_encodings_concern_only_autogen_02():
    assert not list(autogen.encodings_offline(around(distributions={"tiktoken": "0.7"})))


METAGPT = {"metagpt": "0.8.2"}
LLM = "llm:\n  api_type: openai\n  api_key: KEY  # mine\n"


def configured_in(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "config2.yaml").write_text(text)
    return folder.parent


def test_metagpt_without_a_configuration_is_a_problem_with_a_file_to_write(tmp_path):
    finding = only(metagpt.configuration(around(distributions=METAGPT, home=tmp_path)))
    assert finding.status == "problem"
    assert str(tmp_path / ".metagpt" / "config2.yaml") in finding.cure


@pytest.mark.parametrize(
    "text",
    [
        "",
        "embedding:\n  api_key: KEY\n",
        "llm:\n  api_type: openai\n",
        "llm:\n  api_key: \n",
        'llm:\n  api_key: "YOUR_API_KEY"\n',
    ],
)
def test_metagpt_configuration_without_a_usable_llm_is_a_problem(tmp_path, text):
    configured_in(tmp_path / ".metagpt", text)
    finding = only(metagpt.configuration(around(distributions=METAGPT, home=tmp_path)))
    assert finding.status == "problem"
    assert "no `llm`" in finding.summary


@pytest.mark.parametrize("text", [LLM, "llm: {api_type: openai, api_key: 'KEY'}\n"])
def test_metagpt_configuration_in_the_home_folder_is_fine(tmp_path, text):
    configured_in(tmp_path / ".metagpt", text)
    assert not list(metagpt.configuration(around(distributions=METAGPT, home=tmp_path)))


def test_metagpt_configuration_in_the_named_root_is_fine(tmp_path):
    root = configured_in(tmp_path / "config", LLM)
    named = {"METAGPT_PROJECT_ROOT": str(root)}
    assert not list(metagpt.configuration(around(distributions=METAGPT, environ=named)))


def test_metagpt_without_lancedb_is_a_warning_with_the_recipe():
    finding = only(metagpt.lancedb(around(distributions=METAGPT)))
    assert finding.status == "warning"
    assert "--override" in finding.cure


def test_checks_of_metagpt_concern_only_metagpt():
    nothing = around(distributions={"lancedb": "0.4.0"})
    assert not [*metagpt.configuration(nothing), *metagpt.lancedb(nothing)]
    with_lancedb = around(distributions={**METAGPT, "lancedb": "0.14"})
    assert not list(metagpt.lancedb(with_lancedb))


def test_checks_find_something_in_this_process_and_are_json(ak):
    result = ak("doctor", "--json")
    findings = json.loads(result.output)
    assert findings[0]["check"] == "python"
    problems = [finding for finding in findings if finding["status"] == "problem"]
    assert result.exit_code == (1 if problems else 0)


def test_problem_is_shown_with_its_cure_and_exit_1(ak, here):
    (here / "agentkernel.toml").write_text("[kernel]\nordr = 1\n")
    result = ak("doctor")
    assert result.exit_code == 1
    assert "PROBLEM  settings:" in result.output
    assert "→ correct it" in result.output


def test_every_check_runs_in_bare_surroundings():
    assert {finding.check for finding in run_checks(around())} >= {"python", "settings", "plugins"}
    assert len(CHECKS) == len(set(CHECKS))


def test_modules_of_a_distribution_come_from_its_files():
    found = look_around()
    assert isinstance(found.settings, Settings)
    assert "msgspec" in found.distributions["msgspec"].modules
    assert msgspec.__version__ == found.distributions["msgspec"].version
