"""The test matrix: `nox --list` shows it, `nox -s ci` runs it, `run.py test` installs nox too.

Every environment is made afresh (with uv that takes a second), so what a session proves holds for a
clean installation. Plugins and adapters are found on disk: a new folder under `plugins/` or
`adapters/` is tested from then on. Local projects are installed in one call, so that uv takes them
from this checkout and not from an index. Sessions whose plugins run local models need torch.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "imports", "unit"]

PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
if PYENV.is_dir():  # its shims fail for every interpreter that is not selected: offer all of them
    search = [
        part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != PYENV / "shims"
    ]
    found = map(str, sorted(PYENV.glob("versions/3.*/bin")))
    os.environ["PATH"] = os.pathsep.join([*search, *found])

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = sorted(["3.10", "3.11", "3.12", "3.13"], key=lambda version: version == HERE)
"""The supported Pythons, the running one last."""
FRAMEWORK_PYTHON = HERE if HERE in ("3.10", "3.11", "3.12") else "3.11"
"""The wrapped frameworks do not install on later ones."""

MANUAL = "# nox: manual"
"""Marks an example or benchmark that needs what a test has not: a key, a GPU, a quiet machine, a person."""
KERNEL = Path()
PLUGINS = sorted(path.parent for path in Path().glob("plugins/*/pyproject.toml"))
ADAPTERS = sorted(path.parent for path in Path().glob("adapters/*/pyproject.toml"))
TORCH = "torch==2.13.0"


def required_plugins(folder: Path) -> list[Path]:
    """The plugins that a plugin depends on."""
    names = dependencies(folder)
    return [plugin for plugin in PLUGINS if plugin.name in names]


def needs_torch(folder: Path) -> bool:
    """Whether a plugin depends on torch, itself or through another one."""
    return "torch" in dependencies(folder) or any(map(needs_torch, required_plugins(folder)))


def dependencies(folder: Path) -> set[str]:
    """The names in `project.dependencies`."""
    project = nox.project.load_toml(folder / "pyproject.toml")["project"]
    return {Requirement(text).name for text in project.get("dependencies", [])}


def with_extras(folder: Path) -> str:
    """A plugin with everything that it can be installed with, as an installer takes it."""
    project = nox.project.load_toml(folder / "pyproject.toml")["project"]
    extras = project.get("optional-dependencies")
    return f"{folder}[{','.join(extras)}]" if extras else str(folder)


TORCH_PLUGINS = [folder for folder in PLUGINS if needs_torch(folder)]
LIGHT_PLUGINS = [folder for folder in PLUGINS if folder not in TORCH_PLUGINS]
DEFAULT_SCHEDULING = [
    Path("plugins") / name
    for name in (
        "agentkernel-admission-slots",
        "agentkernel-order-plas",
        "agentkernel-placement-affinity",
    )
]
_EXTRAS = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
STANDARD_PLUGINS = [folder for folder in PLUGINS if folder.name in _EXTRAS["standard"]]
"""What stands beside any framework; further plugins have pins of their own."""


def framework_ends(adapter: Path) -> list[Path]:
    """The oldest and the latest supported framework of an adapter; one where both are the same."""
    oldest, latest = (adapter / f"requirements.{end}.txt" for end in ("oldest", "latest"))
    return [oldest] if oldest.read_text() == latest.read_text() else [oldest, latest]


FRAMEWORKS = {
    f"{adapter.name}, {end.stem.removeprefix('requirements.')}": end
    for adapter in ADAPTERS
    for end in framework_ends(adapter)
}


def install(
    session: nox.Session,
    *projects: Path,
    groups: Iterable[str] = ("test",),
    extra: Iterable[str] = (),
) -> None:
    """Install local projects (editable), dependency groups of the root, and what `extra` says."""
    editable = [part for project in projects for part in ("-e", str(project))]
    grouped = [part for group in groups for part in ("--group", group)]
    torch = fetch_torch(session) if {*projects} & {*TORCH_PLUGINS} else []
    session.install(*editable, *grouped, *extra, *torch)


def fetch_torch(session: nox.Session) -> list[str]:
    """Arguments that install torch from a folder to which pip has downloaded it once.

    Which build of torch is wanted (for CPUs, for one CUDA version) is said in pip's settings, and uv does not read those.
    """
    folder = session.cache_dir / f"{TORCH}-py{session.python or HERE}"
    if not any(folder.glob("*.whl")):
        session.install("pip")
        download = ("pip", "download", "--no-deps", "--only-binary=:all:", "-d", str(folder), TORCH)
        session.run_install("python", "-m", *download)
    return ["--find-links", str(folder), TORCH]


def requirements_of_frameworks() -> list[str]:
    """Arguments that install the latest supported version of each framework."""
    return [part for adapter in ADAPTERS for part in ("-r", str(framework_ends(adapter)[-1]))]


def install_everything(session: nox.Session, groups: Iterable[str] = ("test",)) -> None:
    """Install the kernel, all plugins, all adapters and the latest framework of each."""
    install(session, KERNEL, *PLUGINS, *ADAPTERS, groups=groups, extra=requirements_of_frameworks())


def pytest(session: nox.Session, *folders: str | Path) -> None:
    """Run the tests in those folders that exist; no test at all is a failure."""
    present = [str(folder) for folder in folders if Path(folder).is_dir()]
    if not present:
        session.error(f"no tests in {', '.join(map(str, folders))}")
    session.run("python", "-m", "pytest", *present, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.install("--group", "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over the kernel, the plugins and the adapters."""
    install(session, KERNEL, *PLUGINS, *ADAPTERS, groups=["types"])
    session.run("mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """The layers of the kernel: cli, testing, sdk, kernel, api."""
    install(session, KERNEL, groups=["imports"])
    session.run("lint-imports")


@nox.session(python=PYTHONS)
def unit(session: nox.Session) -> None:
    """The kernel's tests, with all plugins but those of local models, on every supported Python."""
    install(session, KERNEL, *LIGHT_PLUGINS)
    pytest(session, "tests/unit", "tests/rules", "tests/integration")


@nox.session
@nox.parametrize("name", [nox.param(folder.name, id=folder.name) for folder in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """The tests of one plugin with all its extras, and no others but those that it needs and the default scheduling."""
    folder = Path("plugins") / name
    needed = (*required_plugins(folder), *DEFAULT_SCHEDULING)
    install(session, KERNEL, folder, *needed, extra=["-e", with_extras(folder)])
    pytest(session, folder / "tests")


@nox.session
def combo(session: nox.Session) -> None:
    """All plugins together. The tests of those that need torch are long, and run once, in `plugin`."""
    install(session, KERNEL, *PLUGINS, groups=["combo"])
    pytest(session, "tests/combo", *(folder / "tests" for folder in LIGHT_PLUGINS))


@nox.session
def bare(session: nox.Session) -> None:
    """The kernel distribution alone: it starts, and says what to install."""
    install(session, KERNEL)
    pytest(session, "tests/bare")


@nox.session(python=FRAMEWORK_PYTHON)
@nox.parametrize("framework", [nox.param(name, id=name) for name in FRAMEWORKS])
def adapter(session: nox.Session, framework: str) -> None:
    """One adapter with the real framework, its oldest or its latest supported version."""
    requirements = FRAMEWORKS[framework]
    framework = ["-r", str(requirements)]
    install(session, KERNEL, *STANDARD_PLUGINS, requirements.parent, extra=framework)
    pytest(session, requirements.parent / "tests")


@nox.session(python=FRAMEWORK_PYTHON)
def examples(session: nox.Session) -> None:
    """Every example, as a user runs it, but for those marked `# nox: manual`."""
    install_everything(session)
    scripts = [path for path in Path("examples").glob("*.py") if MANUAL not in path.read_text()]
    for script in sorted(scripts) or session.error("no examples"):
        session.run("python", str(script))


@nox.session(python=FRAMEWORK_PYTHON)
def docs(session: nox.Session) -> None:
    """The documentation, strictly, and every snippet in it."""
    install_everything(session, groups=["docs", "test"])
    site = f"{session.create_tmp()}/site"
    session.run("mkdocs", "build", "--strict", "-d", site, env={"NO_MKDOCS_2_WARNING": "1"})
    pytest(session, "tests/docs")


def wheel_name(folder: Path) -> str:
    """How the files of a distribution begin."""
    return folder.name.replace("-", "_")


@nox.session
def build(session: nox.Session) -> None:
    """Wheels and source distributions of everything; the wheels work in a clean environment."""
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("uv", "build", "--all-packages", "-q", "--out-dir", str(folder), external=True)
    heavy = {path for each in TORCH_PLUGINS for path in folder.glob(f"{wheel_name(each)}-*.whl")}
    session.install(*map(str, sorted({*folder.glob("*.whl")} - heavy)))
    session.install("--no-deps", *map(str, sorted(heavy)))  # they are found without torch, too
    session.run("ak", "--help")
    session.run("ak", "plugin", "ls", "--json")


@nox.session(python=FRAMEWORK_PYTHON)
def bench(session: nox.Session) -> None:
    """Every benchmark, quickly; its rows stay in the session's temporary folder."""
    needed = ["-r", "benchmarks/requirements.txt", *requirements_of_frameworks()]
    install(session, KERNEL, *PLUGINS, *ADAPTERS, groups=[], extra=needed)
    rows = Path(session.create_tmp()).resolve()
    benchmarks = [
        path for path in Path("benchmarks").glob("[!_]*.py") if MANUAL not in path.read_text()
    ]
    for benchmark in sorted(benchmarks):
        output = rows / f"{benchmark.stem}.json"
        session.run("python", str(benchmark), "--quick", "--json", str(output))


@nox.session
def coverage(session: nox.Session) -> None:
    """Which lines and branches of the kernel its tests reach."""
    install(session, KERNEL, *LIGHT_PLUGINS, groups=["coverage"])
    session.run("coverage", "run", "-m", "pytest", "tests/unit", *session.posargs)
    session.run("coverage", "report")


@nox.session(python=FRAMEWORK_PYTHON)
def demo(session: nox.Session) -> None:
    """AutoGen agents on a local model, without and with the kernel, in one command."""
    autogen = Path("adapters/agentkernel-autogen")
    framework = ["-r", str(framework_ends(autogen)[0])]
    plugins = [*STANDARD_PLUGINS, *TORCH_PLUGINS]
    install(session, KERNEL, *plugins, autogen, groups=[], extra=[*framework, "accelerate"])
    # `transformers serve` needs a newer openai than that AutoGen: it gets a folder of its own.
    serving = str(Path(session.create_tmp()).resolve() / "serving")
    session.install("--target", serving, "openai>=1.98", "fastapi", "uvicorn")
    session.run("python", "examples/main_job.py", "--server-packages", serving, *session.posargs)


@nox.session(venv_backend="none")
def ci(session: nox.Session) -> None:
    """Everything, ending with the unit tests on the Python that runs nox."""
    here = [python for python in PYTHONS if shutil.which(f"python{python}") or python == HERE]
    if missing := sorted({*PYTHONS} - {*here}):
        session.warn(f"not installed, so not tested: Python {', '.join(missing)}")
    for name in (
        *("lint", "types", "imports"),
        *(f"plugin({folder.name})" for folder in PLUGINS),
        *("combo", "bare"),
        *(f"adapter({name})" for name in FRAMEWORKS),
        *("examples", "docs", "build", "bench"),
    ):
        session.notify(name)
    session.notify("demo", posargs=["--quick"])
    for python in PYTHONS if os.environ.get("CI") else here:
        session.notify(f"unit-{python}")
