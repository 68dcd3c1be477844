"""``ak plugin new``: what it writes, how it names it, what it refuses."""

from __future__ import annotations

import ast

import pytest

from agentkernel.api import GROUPS
from agentkernel.cli.scaffold import Scaffold, files_of, name_problem
from agentkernel.kernel.settings_sources import _parse as parse_toml


@pytest.mark.parametrize("kind", GROUPS)
def test_every_kind_has_files_that_parse(kind):
    files = dict(files_of(Scaffold(kind=kind, name="my_own")))
    assert {"README.md", "pyproject.toml", "tests/test_conformance.py"} <= set(files)
    for path, text in files.items():
        assert "$" not in text.replace("$ ", ""), path
        if path.endswith(".py"):
            ast.parse(text)
            assert max(map(len, text.splitlines()), default=0) <= 100, path


@pytest.mark.parametrize(
    ("kind", "distribution"),
    [
        ("order", "agentkernel-order-my-own"),
        ("llm_core", "agentkernel-core-my-own"),
        ("adapter", "agentkernel-my-own"),
        ("hooks", "agentkernel-hooks-my-own"),
    ],
)
def test_distribution_is_named_after_kind_and_name(tmp_path, kind, distribution):
    scaffold = Scaffold(kind=kind, name="my_own")
    assert scaffold.distribution == distribution
    files = dict(files_of(scaffold))
    project = parse_toml(tmp_path / "pyproject.toml", files["pyproject.toml"])["project"]
    module = distribution.replace("-", "_")
    assert project["name"] == distribution
    assert project["entry-points"] == {f"agentkernel.{kind}": {"my_own": module}}
    assert f"src/{module}/__init__.py" in files
    assert f"src/{module}/py.typed" in files


@pytest.mark.parametrize(
    ("author", "written"),
    [
        ("Ada Lovelace", {"name": "Ada Lovelace"}),
        ("Ada <a@b.org>", {"name": "Ada", "email": "a@b.org"}),
    ],
)
def test_author_is_written(ak, here, author, written):
    result = ak("plugin", "new", "mine", "--kind", "tool", "--author", author)
    assert result.exit_code == 0
    path = here / "agentkernel-tool-mine" / "pyproject.toml"
    assert parse_toml(path, path.read_text())["project"]["authors"] == [written]


def test_without_author_none_is_written():
    assert "authors" not in dict(files_of(Scaffold(kind="tool", name="mine")))["pyproject.toml"]


def test_it_says_what_to_do_next(ak, here):
    result = ak("plugin", "new", "mine", "--kind", "order", "--directory", "below")
    assert (here / "below" / "agentkernel-order-mine" / "pyproject.toml").is_file()
    assert "ak plugin check order:mine" in result.output
    assert '[kernel]\n  order = "mine"' in result.output


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("My-Own", "such as 'my_own'"),
        ("1st", "lower-case words"),
        ("two__lines", "such as 'two_lines'"),
        ("x" * 51, "longer than 50"),
        ("../up", "such as 'up'"),
    ],
)
def test_invalid_name_is_refused_and_nothing_written(ak, here, name, hint):
    result = ak("plugin", "new", name, "--kind", "order")
    assert result.exit_code == 2
    assert hint in result.stderr
    assert not list(here.iterdir())


def test_adapter_has_no_name_of_pythons_own_modules():
    assert name_problem("adapter", "json")
    assert not name_problem("order", "json")


def test_invalid_author_is_refused_and_nothing_written(ak, here):
    result = ak("plugin", "new", "mine", "--kind", "order", "--author", 'A "B" <x')
    assert result.exit_code == 2
    assert not list(here.iterdir())


def test_existing_folder_is_refused(ak, here):
    (here / "agentkernel-order-mine").mkdir()
    result = ak("plugin", "new", "mine", "--kind", "order")
    assert result.exit_code == 2
    assert "exists already" in result.stderr


def test_unknown_kind_is_refused_with_the_nearest(ak):
    result = ak("plugin", "new", "mine", "--kind", "ordre")
    assert result.exit_code == 2
    assert "Did you mean 'order'?" in result.stderr


def test_name_of_an_installed_plugin_is_refused(process, site, here):
    site.add("toy-order", modules={"toyorder.py": ""}, plugins={"order:toy": "toyorder"})
    done = process("plugin", "new", "toy", "--kind", "order")
    assert done.returncode == 2
    assert "toy-order 1.0" in done.stderr
    assert not list(here.iterdir())
    assert process("plugin", "new", "toy", "--kind", "tool").returncode == 0
