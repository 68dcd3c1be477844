"""What every distribution under `plugins/` and `adapters/` has."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import ROOT, distributions, files, project

KINDS = {"core": "llm_core"}
"""What a folder's name calls a kind, where it is not the entry-point group's word."""

FOLDERS = [*distributions("plugins"), *distributions("adapters")]


def expected_entry_point(folder: Path) -> tuple[str, str, str]:
    """Group, name and module that a folder's name promises.

    `plugins/agentkernel-core-openai` is `openai` of the kind `llm_core`.
    """
    kind, _, name = folder.name.removeprefix("agentkernel-").partition("-")
    if folder.parent.name == "adapters":
        kind, name = "adapter", folder.name.removeprefix("agentkernel-")
    module = folder.name.replace("-", "_")
    return f"agentkernel.{KINDS.get(kind, kind)}", name.replace("-", "_"), module


def defects(folder: Path, project: dict[str, dict[str, object]], present: set[str]) -> list[str]:
    """What is wrong with a distribution, given its `pyproject.toml` and its files."""
    group, name, module = expected_entry_point(folder)
    facts = project["project"]
    required = {"README.md", f"src/{module}/__init__.py", f"src/{module}/py.typed"}
    if folder.parent.name == "adapters":
        required |= {"requirements.oldest.txt", "requirements.latest.txt"}
    checks = {
        f"is not named {folder.name}": facts["name"] == folder.name,
        f"lacks the entry point {group}: {name} = {module}": (
            facts.get("entry-points", {}).get(group, {}).get(name) == module
        ),
        "does not say which kernels it works with": (
            "agentkernel>=0.1,<0.2" in facts["dependencies"]
        ),
        "has no tests": any(path.startswith("tests/test_") for path in present),
        **{f"lacks {path}": path in present for path in required},
    }
    return [defect for defect, fine in checks.items() if not fine]


def names_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in files(str(folder))}


SOUND = {
    "project": {
        "name": "agentkernel-core-x",
        "dependencies": ["agentkernel>=0.1,<0.2"],
        "entry-points": {"agentkernel.llm_core": {"x": "agentkernel_core_x"}},
    }
}
SOUND_FILES = {
    "README.md",
    "src/agentkernel_core_x/__init__.py",
    "src/agentkernel_core_x/py.typed",
    "tests/test_x.py",
}
SOUND_FOLDER = Path("plugins/agentkernel-core-x")


def test_sound_distribution_has_no_defect() -> None:
    assert not defects(SOUND_FOLDER, SOUND, SOUND_FILES)


@pytest.mark.parametrize("missing", sorted(SOUND_FILES))
def test_missing_file_is_found(missing: str) -> None:
    assert len(defects(SOUND_FOLDER, SOUND, SOUND_FILES - {missing})) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"dependencies": ["agentkernel"]},
        {"entry-points": {}},
        {"entry-points": {"agentkernel.llm_core": {"y": "agentkernel_core_x"}}},
        {"entry-points": {"agentkernel.order": {"x": "agentkernel_core_x"}}},
    ],
)
def test_wrong_metadata_is_found(change: dict[str, object]) -> None:
    wrong = {"project": {**SOUND["project"], **change}}
    assert len(defects(SOUND_FOLDER, wrong, SOUND_FILES)) == 1


def test_distributions_are_found() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_distribution_is_complete(folder: Path) -> None:
    assert not defects(folder, project(folder), names_of(folder))


def test_workspace_lists_every_distribution() -> None:
    sources = project(ROOT)["tool"]["uv"]["sources"]
    assert set(sources) == {"agentkernel", *(folder.name for folder in FOLDERS)}
