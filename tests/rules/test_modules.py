"""What every distributed module looks like."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from checkout import files, product_modules, read

LIMIT_LINES = 400
PUBLIC_PACKAGES = ("", "api/", "sdk/", "testing/")


def has_docstring(source: str) -> bool:
    return bool(ast.get_docstring(ast.parse(source)))


def is_public(path: Path) -> bool:
    """No part of its dotted name is underscored."""
    return not any(part.startswith("_") for part in path.parts if part != "__init__.py")


def prints(source: str) -> list[int]:
    """Lines that call `print`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def exported(source: str) -> list[str] | None:
    """The names that `__all__` spells out; None where there is no `__all__`."""
    for node in ast.parse(source).body:
        match node:
            case (
                ast.Assign(
                    targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as value
                )
                | ast.AnnAssign(
                    target=ast.Name(id="__all__"), value=ast.List() | ast.Tuple() as value
                )
            ):
                return [name.value for name in value.elts if isinstance(name, ast.Constant)]
    return None


def in_order(names: list[str]) -> list[str]:
    """Ruff's order (RUF022), without duplicates: CONSTANTS, Classes, the rest; numbers by value."""

    def key(name: str) -> tuple[int, list[tuple[bool, int, str]]]:
        rank = 0 if name.isupper() else 1 if name[0].isupper() else 2
        parts = re.findall(r"\d+|\D+", name)
        return rank, [
            (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts
        ]

    return sorted(set(names), key=key)


@pytest.mark.parametrize("source", ["", "x = 1", "# a comment", 'x = 1\n"""late"""'])
def test_missing_docstring_is_found(source: str) -> None:
    assert not has_docstring(source)


def test_every_public_module_has_a_docstring() -> None:
    modules = [path for path in product_modules() if is_public(path)]
    assert modules
    assert not [path for path in modules if not has_docstring(read(path))]


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lines = {path: len(read(path).splitlines()) for path in product_modules()}
    assert not {path: count for path, count in lines.items() if count > LIMIT_LINES}


def test_print_is_found() -> None:
    assert prints("def f():\n    print('x')") == [2]
    assert not prints("'print(1)'  # print(2)\nconsole.print(3)")


def test_nothing_prints_outside_the_command_line() -> None:
    modules = [path for path in product_modules() if "cli" not in path.parts]
    assert not {path: found for path in modules if (found := prints(read(path)))}


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"], ["a", "B"], ["Ab", "AB"], ["t10", "t2"]])
def test_disorder_is_found(names: list[str]) -> None:
    assert names != in_order(names)


def test_order_is_constants_classes_and_the_rest() -> None:
    names = ["GROUPS", "Kernel", "Ticket", "__version__", "agent", "wrap2", "wrap10"]
    assert (
        exported(f"__all__ = [*_errors, {', '.join(map(repr, names))}]") == names == in_order(names)
    )


def test_every_all_is_sorted() -> None:
    found = {path: names for path in product_modules() if (names := exported(read(path)))}
    assert found
    assert not [path for path, names in found.items() if names != in_order(names)]


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_public_package_says_what_is_public(package: str) -> None:
    (path,) = files(f"src/agentkernel/{package}__init__.py")
    assert exported(read(path))
