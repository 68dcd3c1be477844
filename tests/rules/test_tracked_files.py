"""What no file of the checkout holds: paths of one machine, and hosts of package registries."""

from __future__ import annotations

import re

import pytest
from checkout import files, read

MACHINE_PATH = re.compile(r"(?<![\w./~$}>-])/(?:home|opt|root|Users|work)/[\w.-]")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|(?:index[-_]url|find[-_]links)\s*[=:\s]\s*\S*/|"
    r"https?://[^\s/]*(?:artifactory|devpi|nexus|pypi)|/simple/?[\"'\s]",
    re.IGNORECASE,
)


def leaks(text: str) -> list[str]:
    """The machine paths and registry hosts in a text, each with what follows it on the line."""
    found = [*MACHINE_PATH.finditer(text), *REGISTRY.finditer(text)]
    return [text[match.start() :].splitlines()[0][:60] for match in found]


@pytest.mark.parametrize(
    "parts",
    [
        ("see ", "/home/", "someone/project"),
        ("'", "/root/", ".cache'"),
        ("[[", "/Users/", "me]]"),
        ("registry+https://", "pypi", ".org/x"),
        ("--extra-index", "-url https://host/path"),
        ("https://", "devpi", ".example/root"),
        ("UV_FIND", "_LINKS=./wheels/"),
    ],
    ids=lambda parts: parts[1],
)
def test_leak_is_found(parts: tuple[str, ...]) -> None:
    assert leaks("".join(parts))


@pytest.mark.parametrize(
    "text", ["docs/home/page.md", "https://a.example/root/x", "~/opt/x", "/tmp/x"]
)
def test_ordinary_text_leaks_nothing(text: str) -> None:
    assert not leaks(text)


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = {}
    for path in files():
        try:
            text = read(path)
        except UnicodeDecodeError:
            continue
        if text_leaks := leaks(text):
            found[str(path)] = text_leaks
    assert not found
