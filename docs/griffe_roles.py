"""Docstrings name things as Sphinx does (``:class:`X```); the pages are Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["PlainRoles"]

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([^`]+)`")
_JOINED = re.compile(r"^( +)(\w+(?:, \w+)+): (.+)$", re.MULTILINE)


class PlainRoles(griffe.Extension):
    """Rewrites roles to code, ``::`` at the end of a line to a colon, and entries of several names to several entries."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for each documented object."""
        if obj.docstring is not None:
            text = _ROLE.sub(lambda role: f"`{_short(role[1])}`", obj.docstring.value)
            text = re.sub(r"^ *::\n", "", text, flags=re.MULTILINE)
            text = _JOINED.sub(_apart, text)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)


def _apart(line: re.Match[str]) -> str:
    """``a, b: text`` as one entry for each name, which is what griffe can read."""
    return "\n".join(f"{line[1]}{name}: {line[3]}" for name in line[2].split(", "))


def _short(path: str) -> str:
    """The name without its modules, which are in lower case."""
    *modules, last = path.split(".")
    return ".".join([*(part for part in modules if not part.islower()), last])
