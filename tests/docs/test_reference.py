"""The reference pages say what the code says. ``python tests/docs/test_reference.py`` writes the commands' page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

import agentkernel
import agentkernel.testing
from agentkernel.api import errors
from agentkernel.cli.app import app
from agentkernel.kernel.settings import ContextSettings, KernelSettings

DOCS = Path(__file__).parents[2] / "docs"
_ROW = re.compile(r"^\| `(?P<key>\w+)` \| (?P<type>[^|]+) \| `(?P<default>[^`]+)` \|", re.MULTILINE)
_CLI_HEAD = """# Command line

`ak` is short for `agentkernel`; `python -m agentkernel.cli` is the same. What each command prints with `--help`:
"""


def read(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "settings"), [("kernel", KernelSettings), ("context", ContextSettings)]
)
def test_every_setting_is_in_the_table_with_its_default(
    name: str, settings: type[msgspec.Struct]
) -> None:
    table = read("reference/settings.md").partition(f"## `[{name}]`")[2].partition("\n## ")[0]
    shown = {row["key"]: row["default"] for row in _ROW.finditer(table)}
    expected = {
        field.name: msgspec.json.encode(field.default).decode().replace("null", "none")
        for field in msgspec.structs.fields(settings)
    }
    assert shown == expected


def test_every_public_name_is_on_a_page() -> None:
    pages = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    public = [*agentkernel.__all__, *agentkernel.api.__all__, *agentkernel.testing.__all__]
    names = set(public) - {"__version__", "errors"}
    assert [
        name for name in sorted(names) if not re.search(rf"^::: \S+\.{name}$", pages, re.MULTILINE)
    ] == []


def test_every_error_is_in_the_tree_and_in_the_page_of_failures() -> None:
    tree = read("reference/errors.md").partition("```text")[2].partition("```")[0]
    assert [name for name in errors.__all__ if not re.search(rf"\b{name}\b", tree)] == []
    failures = read("how-to/failures.md")
    leaves = [name for name in errors.__all__ if not getattr(errors, name).__subclasses__()]
    assert [name for name in leaves if f"`{name}`" not in failures] == []


def test_the_tree_of_errors_is_that_of_the_classes() -> None:
    tree = read("reference/errors.md").partition("```text\n")[2].partition("```")[0]
    above: list[str] = []
    for line in tree.splitlines():
        name = re.search(r"\w+", line)
        assert name
        depth = name.start() // 4
        del above[depth:]
        bases = [base.__name__ for base in getattr(errors, name[0]).__mro__]
        assert set(above) <= set(bases), f"{name[0]} is no {above}"
        above.append(name[0])


def commands(command: click.Command, words: str = "ak") -> Iterator[tuple[str, str]]:
    """Every command with its help, the groups before their commands."""
    context = click.Context(
        command, info_name=words, terminal_width=88, help_option_names=["-h", "--help"]
    )
    yield words, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below
            yield from commands(below, f"{words} {name}")


def cli_page() -> str:
    """The page of the commands."""
    parts = [f"## `{words}`\n\n```text\n{text.rstrip()}\n```\n" for words, text in commands(app)]
    return "\n".join([_CLI_HEAD, *parts])


def test_the_page_of_the_commands_is_their_help() -> None:
    written, expected = read("reference/cli.md").split(), cli_page().split()
    assert written == expected, "run: python tests/docs/test_reference.py"


if __name__ == "__main__":
    (DOCS / "reference/cli.md").write_text(cli_page(), "utf-8")
