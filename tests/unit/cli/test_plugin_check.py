"""``ak plugin check``: facts about a plugin, and the tests of its contract."""

from __future__ import annotations

import json

import pytest

ORDER = """
from agentkernel.api import HeapOrder, NoOptions, hookimpl

class Last(HeapOrder):
    def key(self, waiting, now):
        return {key}

@hookimpl
def create_order(options: NoOptions):
    return Last()
"""


@pytest.fixture
def check(process):
    def run(plugin):
        done = process("plugin", "check", plugin, "--json")
        findings = json.loads(done.stdout) if done.stdout else []
        return done, [(finding["status"], finding["summary"]) for finding in findings]

    return run


@pytest.fixture
def add_order(site):
    def add(source):
        site.add("toy-order", modules={"toyorder.py": source}, plugins={"order:toy": "toyorder"})

    return add


def test_installed_plugin_is_loaded_created_and_held_to_its_contract(check, add_order):
    add_order(ORDER.format(key="waiting.seq"))
    done, findings = check("order:toy")
    assert done.returncode == 0, done.stdout
    statuses, summaries = zip(*findings, strict=True)
    assert set(statuses) == {"ok"}
    assert summaries[0] == "available, from toy-order 1.0, toyorder"
    assert summaries[3] == "creates Last from default options"
    assert "passed" in summaries[4]
    assert "failed" not in summaries[4]


def test_broken_contract_is_a_problem(check, add_order):
    source = ORDER.format(key="waiting.seq") + "    \nLast.__len__ = lambda self: 0\n"
    add_order(source)
    done, findings = check("order:toy")
    assert done.returncode == 1
    status, summary = findings[-1]
    assert status == "problem"
    assert "test_len_counts_waiting_calls" in summary


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('broken')", "importing toyorder raised ValueError: broken"),
        (ORDER.format(key="1").replace("options", "choices"), "choices"),
        (ORDER.format(key="1").replace("return Last()", "return 1"), "int"),
    ],
    ids=["import", "signature", "result"],
)
def test_plugin_that_cannot_be_used_is_a_problem(check, add_order, source, message):
    add_order(source)
    done, findings = check("order:toy")
    assert done.returncode == 1
    assert findings[-1][0] == "problem"
    assert message in findings[-1][1]


def test_required_options_are_named(check, add_order):
    options = "from agentkernel.api import Options\nclass O(Options, frozen=True):\n    path: str\n"
    add_order(options + ORDER.format(key="1").replace("options: NoOptions", "options: O"))
    done, findings = check("order:toy")
    assert done.returncode == 0
    assert findings[-1] == ("warning", "not created, for want of options: path")


def test_plugin_that_is_not_installed_is_a_problem(check, add_order):
    add_order("")
    done, findings = check("order:tyo")
    assert done.returncode == 1
    assert "Did you mean 'toy'?" in findings[0][1]


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("oder:fifo", "Did you mean 'order'?"),
        ("fifo", "neither KIND:NAME nor a folder"),
        (".", "has no pyproject.toml"),
    ],
)
def test_what_names_no_plugin_is_wrong_usage(ak, plugin, message):
    result = ak("plugin", "check", plugin)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_folder_runs_its_own_tests(process, check, here):
    process("plugin", "new", "mine", "--kind", "placement")
    done, findings = check("agentkernel-placement-mine")
    assert done.returncode == 0, done.stdout
    assert ("ok", "creates MostFreeSlots from default options") in findings
    assert findings[-1][1].endswith("passed")


def test_failing_test_of_a_folder_is_a_problem(process, check, here):
    process("plugin", "new", "mine", "--kind", "placement")
    folder = here / "agentkernel-placement-mine"
    (folder / "tests" / "test_more.py").write_text("def test_more():\n    assert False\n")
    done, findings = check(str(folder))
    assert done.returncode == 1
    assert "1 failed" in findings[-1][1]


def test_folder_without_plugins_and_tests_has_two_problems(check, here):
    (here / "pyproject.toml").write_text('[project]\nname = "none"\n')
    done, findings = check(str(here))
    assert done.returncode == 1
    assert [status for status, _ in findings] == ["problem", "problem"]


def test_folder_whose_pyproject_is_broken_says_so(process, here):
    (here / "pyproject.toml").write_text("[project\n")
    (here / "agentkernel.toml").write_text("")
    done = process("plugin", "check", str(here))
    assert done.returncode == 2
    assert "expected TOML" in done.stderr


def test_findings_are_readable(process, add_order):
    add_order("raise ValueError('broken')")
    done = process("plugin", "check", "order:toy")
    assert "PROBLEM  order:toy: order plugin 'toy': importing toyorder raised" in done.stdout
