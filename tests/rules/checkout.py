"""What the rules look at: files of this checkout, and their syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def files(*patterns: str) -> list[Path]:
    """Files that git tracks or would add, by pathspec, relative to the root of the checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    listed = subprocess.run([*command, *patterns], cwd=ROOT, capture_output=True, check=True).stdout
    return [Path(name) for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def product_modules() -> list[Path]:
    """Every module that is distributed."""
    return files("src/*.py", "plugins/*/src/*.py", "adapters/*/src/*.py")


def distributions(kind: str) -> list[Path]:
    """The folders under `plugins` or `adapters`."""
    return sorted(path.parent for path in files(f"{kind}/*/pyproject.toml"))


def project(folder: Path) -> dict[str, dict[str, object]]:
    """A distribution's `pyproject.toml`."""
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))


def read(path: Path) -> str:
    """A file's text."""
    return (ROOT / path).read_text(encoding="utf-8")


def imports(source: str) -> Iterator[str]:
    """Absolute dotted names that a module imports, also by `import_module`; the last part may be an attribute."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the packages or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
