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
from packaging.version import Version

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
ENDS = (min(PYTHONS, key=Version), max(PYTHONS, key=Version))
FOUND = [version for version in PYTHONS if shutil.which(f"python{version}") or version == HERE]
OTHERS = [version for version in FOUND if version not in (HERE, *ENDS)]
FRAMEWORK_PYTHON = HERE if HERE in ("3.10", "3.11", "3.12") else "3.11"
"""AutoGen 0.2 does not install on later ones."""

MANUAL = "# nox: manual"
"""Marks an example or benchmark that needs what a test has not: a key, a GPU, a quiet machine, a person."""
KERNEL = Path()
PLUGINS = sorted(path.parent for path in Path().glob("plugins/*/pyproject.toml"))
ADAPTERS = sorted(path.parent for path in Path().glob("adapters/*/pyproject.toml"))
TORCH = "torch==2.13.0"


def required(folder: Path) -> list[Path]:
    """The plugins and adapters that one depends on."""
    names = dependencies(folder)
    direct = [other for other in (*PLUGINS, *ADAPTERS) if other.name in names]
    return list(dict.fromkeys(each for other in direct for each in (other, *required(other))))


def needs_torch(folder: Path) -> bool:
    """Whether a plugin depends on torch, itself or through another one."""
    return "torch" in dependencies(folder) or any(map(needs_torch, required(folder)))


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


def framework_python(adapter: Path, end: str) -> str:
    """The Python for one end of what an adapter supports: the oldest framework on the oldest, all others on the newest."""
    extras = nox.project.load_toml(adapter / "pyproject.toml")["project"]["optional-dependencies"]
    markers = [Requirement(text).marker for text in extras["framework"]]
    allowed = [
        version
        for version in sorted(FOUND, key=Version)
        if all(not each or each.evaluate({"python_version": version}) for each in markers)
    ]
    return (allowed[0] if end == "oldest" else allowed[-1]) if allowed else FRAMEWORK_PYTHON


def framework_sessions() -> list[nox.param]:
    """The oldest and the latest supported framework of each adapter, and other names of it, each with its Python."""
    sessions = []
    for adapter in ADAPTERS:
        for requirements in sorted(adapter.glob("requirements.*.txt")):
            end = requirements.suffixes[0][1:]
            python = framework_python(adapter, end)
            sessions.append(nox.param(python, str(requirements), id=f"{adapter.name}, {end}"))
    return sessions


FRAMEWORKS = framework_sessions()
AUTOGEN = Path("adapters/agentkernel-autogen")
BENCHMARKED = {
    "autogen": AUTOGEN,
    "metagpt": Path("adapters/agentkernel-metagpt"),
    "open_interpreter": Path("adapters/agentkernel-open-interpreter"),
    "react": None,
    "reflexion": None,
}
"""The kinds of agents that `benchmarks/frameworks.py` compares, and the adapters of those that have one."""
FALLBACK = sorted(Path("adapters/agentkernel-openai/frameworks").glob("*/requirements.txt"))
"""Frameworks that have no adapter of their own, in groups that go into one environment."""


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


def framework(requirements: Path) -> list[str]:
    """Arguments that install a framework; where its own requirements cannot be met, `overrides.txt` says what is."""
    overrides = requirements.with_name("overrides.txt")
    override = ["--override", str(overrides)] if overrides.is_file() else []
    return ["-r", str(requirements), *override]


def install_everything(session: nox.Session, groups: Iterable[str] = ("test",)) -> None:
    """Install the kernel, all plugins, all adapters and AutoGen; the frameworks do not go into one environment."""
    latest = framework(AUTOGEN / "requirements.latest.txt")
    install(session, KERNEL, *PLUGINS, *ADAPTERS, groups=groups, extra=latest)


def pytest(session: nox.Session, *folders: str | Path, options: Iterable[str] = ()) -> None:
    """Run the tests in those folders that exist; no test at all is a failure."""
    present = [str(folder) for folder in folders if Path(folder).is_dir()]
    if not present:
        session.error(f"no tests in {', '.join(map(str, folders))}")
    session.run("python", "-m", "pytest", *present, *options, *session.posargs)


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
    """The kernel's tests, with all plugins but those of local models; on other Pythons those that may differ there."""
    install(session, KERNEL, *LIGHT_PLUGINS)
    if session.python == HERE:
        pytest(session, "tests/unit", "tests/rules", "tests/integration")
    elif session.python in ENDS:
        author = "--ignore=tests/integration/test_plugin_author.py"  # packaging, as in `build`
        pytest(session, "tests/unit", "tests/integration", options=[author])
    else:
        pytest(session, "tests/unit/kernel", "tests/unit/sdk", "tests/unit/testing")


@nox.session
@nox.parametrize("name", [nox.param(folder.name, id=folder.name) for folder in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """The tests of one plugin with all its extras, and no others but those that it needs and the default scheduling."""
    folder = Path("plugins") / name
    needed = (*required(folder), *DEFAULT_SCHEDULING)
    install(session, KERNEL, folder, *needed, extra=["-e", with_extras(folder)])
    pytest(session, folder / "tests")


@nox.session
def combo(session: nox.Session) -> None:
    """What several plugins do together. Their own tests run in `plugin`."""
    install(session, KERNEL, *PLUGINS, groups=["combo"])
    pytest(session, "tests/combo")


@nox.session
def bare(session: nox.Session) -> None:
    """The kernel distribution alone: it starts, and says what to install."""
    install(session, KERNEL)
    pytest(session, "tests/bare")


@nox.session
@nox.parametrize("python,requirements", FRAMEWORKS)
def adapter(session: nox.Session, requirements: str) -> None:
    """One adapter with the real framework: its oldest or its latest supported version, or one of another name."""
    folder = Path(requirements).parent
    projects = (KERNEL, *STANDARD_PLUGINS, *required(folder), folder)
    install(session, *projects, extra=framework(Path(requirements)))
    latest = requirements.endswith("requirements.latest.txt")
    programs = folder / "tests" / "test_programs.py"  # two processes for each: once is enough
    pytest(session, folder / "tests", options=[] if latest else [f"--ignore={programs}"])


@nox.session(python=FRAMEWORK_PYTHON)
@nox.parametrize("folder", [nox.param(str(each.parent), id=each.parent.name) for each in FALLBACK])
def fallback(session: nox.Session, folder: str) -> None:
    """Frameworks without an adapter of their own: the adapter of their LLM client sees every call."""
    openai = Path("adapters/agentkernel-openai")
    requirements = Path(folder) / "requirements.txt"
    install(session, KERNEL, *STANDARD_PLUGINS, openai, extra=framework(requirements))
    pytest(session, folder)


@nox.session(name="next", python=FRAMEWORK_PYTHON)
@nox.parametrize("name", [nox.param(each.name, id=each.name) for each in ADAPTERS])
def upcoming(session: nox.Session, name: str) -> None:
    """One adapter with the newest framework that there is, pre-releases too. It may fail; `nox -s ci` leaves it out."""
    folder = Path("adapters") / name
    projects = (KERNEL, *STANDARD_PLUGINS, *required(folder), folder)
    extras = nox.project.load_toml(folder / "pyproject.toml")["project"]["optional-dependencies"]
    names = [Requirement(text).name for text in extras["framework"]]
    install(session, *projects, extra=["--prerelease", "allow", *names])
    pytest(session, folder / "tests")


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
    needed = ["-r", "benchmarks/requirements.txt", *framework(AUTOGEN / "requirements.latest.txt")]
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
    projects = (KERNEL, *STANDARD_PLUGINS, *TORCH_PLUGINS, *required(AUTOGEN), AUTOGEN)
    oldest = framework(AUTOGEN / "requirements.oldest.txt")
    install(session, *projects, groups=[], extra=[*oldest, "accelerate"])
    # `transformers serve` needs a newer openai than that AutoGen: it gets a folder of its own.
    serving = str(Path(session.create_tmp()).resolve() / "serving")
    session.install("--target", serving, "openai>=1.98", "fastapi", "uvicorn")
    session.run("python", "examples/main_job.py", "--server-packages", serving, *session.posargs)


@nox.session(python=FRAMEWORK_PYTHON)
@nox.parametrize("name", [nox.param(name, id=name) for name in BENCHMARKED])
def frameworks(session: nox.Session, name: str) -> None:
    """Agents of one framework, without and with the kernel; arguments go to the benchmark."""
    adapter = BENCHMARKED[name]
    agents = [folder for folder in PLUGINS if "-agent-" in folder.name]
    wrapping = [] if adapter is None else [*required(adapter), adapter]
    projects = (KERNEL, *STANDARD_PLUGINS, *TORCH_PLUGINS, *agents, *wrapping)
    latest = [] if adapter is None else framework(adapter / "requirements.latest.txt")
    needed = ["accelerate", "aiohttp", "matplotlib", "msgspec", "openai[aiohttp]>=1.98", "uvloop"]
    install(session, *projects, groups=[], extra=[*latest, *needed])
    # `transformers serve` does not share the web framework that some of them pin.
    serving = str(Path(session.create_tmp()).resolve() / "serving")
    session.install("--target", serving, "openai>=1.98", "fastapi", "uvicorn")
    options = ("--framework", name, "--server-packages", serving, *session.posargs)
    session.run("python", "benchmarks/frameworks.py", *options)


@nox.session(venv_backend="none")
@nox.parametrize("half", ["frameworks", "kernel"], ids=["frameworks", "kernel"])
def ci(session: nox.Session, half: str) -> None:
    """Everything, in two halves of about the same length; that of the kernel ends with its tests on this Python."""
    if half == "frameworks":
        for each in FRAMEWORKS:
            session.notify(f"adapter({each.id})")
        for each in FALLBACK:
            session.notify(f"fallback({each.parent.name})")
        for name in (*(f"unit-{python}" for python in OTHERS), "combo", "examples", "docs"):
            session.notify(name)
        return
    if missing := sorted({*PYTHONS} - {*FOUND}):
        session.warn(f"not installed, so not tested: Python {', '.join(missing)}")
    for name in (
        *("lint", "types", "imports"),
        *(f"plugin({folder.name})" for folder in PLUGINS),
        *("bare", "build", "bench"),
    ):
        session.notify(name)
    session.notify("demo", posargs=["--quick"])
    for python in PYTHONS if os.environ.get("CI") else FOUND:
        if python not in OTHERS:
            session.notify(f"unit-{python}")
