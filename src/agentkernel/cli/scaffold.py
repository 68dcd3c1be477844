"""A new plugin distribution: its names, and its files from the templates beside this module."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

import click
import msgspec

import agentkernel

__all__ = ["Scaffold", "files_of", "name_problem"]

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NAME_LIMIT = 50

_KERNEL_SERIES = re.match(r"(\d+)\.(\d+)", agentkernel.__version__)
assert _KERNEL_SERIES is not None
_MAJOR, _MINOR = map(int, _KERNEL_SERIES.groups())
_KERNEL_RANGE = f">={_MAJOR}.{_MINOR},<{_MAJOR}.{_MINOR + 1}"

_SUMMARIES = {
    "llm_core": "The LLM core `{name}` of agentkernel: answers with the last message.",
    "order": "The order `{name}` of agentkernel: the shortest prompt first, with ageing.",
    "placement": "The placement `{name}` of agentkernel: the core with the most free slots.",
    "admission": "The admission `{name}` of agentkernel: limits the running calls of each agent.",
    "tool": "The tool `{name}` of agentkernel: counts words.",
    "hooks": "The hooks `{name}` of agentkernel: count the calls that succeed and fail.",
    "adapter": "Wraps the framework {name} in agentkernel: its LLM calls become syscalls.",
    "window": "The window policy `{name}` of agentkernel: cuts the longest tool result.",
    "embedder": "The embedder `{name}` of agentkernel: counts words by their hash.",
    "agent": "The agent `{name}` of agentkernel: answers, then reads its answer again and improves it.",
}

_SETTINGS = {
    "llm_core": '[cores.main]\nplugin = "{name}"\nmodel = "echo"',
    "order": '[kernel]\norder = "{name}"\n\n[order.{name}]\nchars_per_s = 10.0',
    "placement": '[kernel]\nplacement = "{name}"',
    "admission": '[kernel]\nadmission = ["slots", "{name}"]\n\n[admission.{name}]\nmax_calls = 4',
    "tool": '[kernel]\ntools = ["{name}"]',
    "hooks": '[kernel]\nhooks = ["{name}"]',
    "window": '[kernel]\nwindow = "{name}"\n\n[window.{name}]\nshortest_chars = 500',
    "embedder": '[kernel]\nembedder = "{name}"\n\n[embedder.{name}]\ndimension = 256',
    "agent": "[agent.{name}]\nrounds = 2",
}

_USES_MSGSPEC = ("llm_core", "order", "admission", "window", "embedder", "agent")


class Scaffold(msgspec.Struct, frozen=True, kw_only=True):
    """What a new plugin is called.

    Attributes:
        kind: a key of ``GROUPS``.
        name: of the plugin.
        author: ``Name`` or ``Name <address>``; empty leaves it out.
    """

    kind: str
    name: str
    author: str = ""

    @property
    def distribution(self) -> str:
        """``agentkernel-KIND-NAME``, for a core ``agentkernel-core-NAME``, an adapter ``agentkernel-NAME``."""
        kind = {"llm_core": "core-", "adapter": ""}.get(self.kind, f"{self.kind}-")
        return f"agentkernel-{kind}{self.name}".replace("_", "-")

    @property
    def module(self) -> str:
        """The package that the distribution brings."""
        return self.distribution.replace("-", "_")

    @property
    def settings(self) -> str:
        """The lines of ``agentkernel.toml`` that use the plugin; empty for an adapter, which needs none."""
        return _SETTINGS.get(self.kind, "").format(name=self.name)

    @property
    def summary(self) -> str:
        """One line about the plugin."""
        return _SUMMARIES[self.kind].format(name=self.name)


def name_problem(kind: str, name: str) -> str:
    """Why ``name`` cannot be that of a plugin, and one that can; empty when it can."""
    if len(name) > _NAME_LIMIT:
        return f"it is longer than {_NAME_LIMIT} characters"
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        hint = f", such as {near!r}" if _NAME.fullmatch(near) else ""
        return f"expected lower-case words joined by '_', beginning with a letter{hint}"
    if kind == "adapter" and (name in sys.stdlib_module_names or keyword.iskeyword(name)):
        return "an adapter has the name of its framework's module, and this one is Python's own"
    return ""


def files_of(scaffold: Scaffold) -> Iterator[tuple[str, str]]:
    """Relative path and text of every file."""
    words = _words(scaffold)
    for folder in ("common", scaffold.kind):
        root = _TEMPLATES / folder
        for template in sorted(path for path in root.rglob("*") if path.is_file()):
            path = template.relative_to(root).as_posix().removesuffix(".tmpl")
            for word in ("module", "name"):
                path = path.replace(f"__{word}__", words[word])
            yield path, Template(template.read_text("utf-8")).substitute(words)


def _words(scaffold: Scaffold) -> Mapping[str, str]:
    adapter = scaffold.kind == "adapter"
    needs = [f"agentkernel{_KERNEL_RANGE}"]
    if scaffold.kind in _USES_MSGSPEC:
        needs.append("msgspec>=0.18")
    return {
        "kind": scaffold.kind,
        "name": scaffold.name,
        "distribution": scaffold.distribution,
        "module": scaffold.module,
        "summary": scaffold.summary,
        "usage": _usage(scaffold),
        "authors": _authors(scaffold.author),
        "target": scaffold.name.replace("_", "-"),
        "kernel_range": _KERNEL_RANGE,
        "dependencies": ", ".join(f'"{need}"' for need in needs),
        "pythonpath": '"src", "tests/framework"' if adapter else '"src"',
        "test_extras": "standard,testing" if adapter else "testing",
    }


def _usage(scaffold: Scaffold) -> str:
    if scaffold.settings:
        return f"In `agentkernel.toml`:\n\n```toml\n{scaffold.settings}\n```"
    return "Then `agentkernel.wrap()` and `ak run` wrap the framework where a program imports it."


def _authors(author: str) -> str:
    if not author:
        return ""
    found = re.fullmatch(r"\s*([^<>\"\\\n]+?)\s*(?:<([^<>\s\"\\]+@[^<>\s\"\\]+)>\s*)?", author)
    if found is None:
        raise click.BadParameter(f"expected 'Name' or 'Name <address>', found {author!r}")
    name, address = found.groups()
    email = f', email = "{address}"' if address else ""
    return f'authors = [{{ name = "{name}"{email} }}]\n'
