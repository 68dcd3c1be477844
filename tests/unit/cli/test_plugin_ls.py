"""``ak plugin ls``: what is installed, also what cannot be used, and importing none of it."""

from __future__ import annotations

import json

import pytest

EXPLODES = "raise RuntimeError('imported')"


@pytest.fixture
def plugins(site):
    modules = {"toyorder.py": EXPLODES}
    site.add(
        "toy-order", modules=modules, plugins={"order:toy": "toyorder", "tool:toy": "toyorder"}
    )
    return site


def listed(process, *arguments):
    done = process("plugin", "ls", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [plugin for plugin in json.loads(done.stdout) if plugin["name"] == "toy"]


def test_plugins_are_listed_without_importing_them(process, plugins):
    assert [(p["kind"], p["status"]) for p in listed(process)] == [
        ("order", "available"),
        ("tool", "available"),
    ]
    assert listed(process)[0]["distribution"] == "toy-order"
    assert listed(process)[0]["version"] == "1.0"


def test_only_one_kind_is_listed(process, plugins):
    assert [p["kind"] for p in listed(process, "--kind", "tool")] == ["tool"]


def test_blocked_plugin_is_listed_with_its_reason(process, plugins, here):
    (here / "agentkernel.toml").write_text('[plugins]\nblock = ["order:toy"]\n')
    (plugin,) = listed(process, "--kind", "order")
    assert plugin["status"] == "blocked"
    assert "plugins.block" in plugin["reason"]


def test_rejected_plugin_is_listed_with_its_reason(process, plugins):
    plugins.add("twin", modules={"twin.py": ""}, plugins={"order:toy": "twin"})
    reasons = [plugin["reason"] for plugin in listed(process, "--kind", "order")]
    assert len(reasons) == 2
    assert all("toy-order 1.0" in reason and "twin 1.0" in reason for reason in reasons)
    table = process("plugin", "ls").stdout
    assert "rejected" in table
    assert reasons[0] in table


def test_unknown_kind_is_refused_with_the_nearest(ak):
    result = ak("plugin", "ls", "--kind", "odrer")
    assert result.exit_code == 2
    assert "Did you mean 'order'?" in result.stderr
