"""Every snippet of the documentation is run.

* ``python``: the blocks of a page, in order, are one program.
* ``python`` or ``toml`` with a ``title``: a file of that name in the page's folder; a later command uses it.
* ``console``: each line after ``$`` is run by bash in the page's folder. The lines after a command must occur in its
  output, in order; ``...`` stands for anything.
* ``toml``: loaded as settings. Options are checked against the plugins that the settings name.
* ``text`` right after ``python``: what the program prints.

``http://127.0.0.1:8000`` is a server that the test runs, unless the page starts its own (a command that ends in ``&``).
``pip`` is ``bin/pip``. What cannot be run here is in ``NOT_RUN``, with what is checked in its place.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import ROOT, files

from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.settings import Settings, load_settings
from agentkernel.testing import OpenAIServer
from agentkernel.testing.openai_server import fixed

PAGES = [Path("README.md"), *files("docs/*.md")]
PORT = "127.0.0.1:8000"
LIMIT_S = 60.0
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<head>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_TITLE = re.compile(r'title="([^"]+)"')
_FAILURE = re.compile(r"^agentkernel\.api\.errors\.|^problem |^\d+ failed")
_LANGUAGES = {"console", "python", "text", "toml"}


def _is_file(command: str) -> bool:
    return (ROOT / command.split()[1]).is_file()


def _is_session_of_run(command: str) -> bool:
    return f'"{command.split()[2]}"' in (ROOT / "run.py").read_text("utf-8")


def _is_session(command: str) -> bool:
    name = command.split()[2].strip('"').partition("(")[0]
    return f"def {name}(session" in (ROOT / "noxfile.py").read_text("utf-8")


NOT_RUN: Mapping[str, Callable[[str], bool]] = {
    # Minutes long, and sessions of their own: `nox -s bench`, `nox -s demo`, `nox -s ci`.
    "python benchmarks/": _is_file,
    "nox -s ": _is_session,
    "python3 run.py ": _is_session_of_run,
    "uv build": lambda _: True,  # fetches the build back end; the session `build` does it
}


class Snippet(NamedTuple):
    """A fenced block: its language, its title or ``""``, its text and its first line in the page."""

    language: str
    title: str
    text: str
    line: int


def snippets(page: str) -> list[Snippet]:
    """The fenced blocks of a page."""
    found = []
    for match in _FENCE.finditer(page):
        assert not match["indent"], (
            f"line {_line(page, match.start())}: an indented block is not run"
        )
        language = match["head"].partition(" ")[0] or "console"
        assert language in _LANGUAGES, f"line {_line(page, match.start())}: {language} is not run"
        title = _TITLE.search(match["head"])
        found.append(
            Snippet(
                language, title[1] if title else "", match["body"], _line(page, match.start("body"))
            )
        )
    return found


def _line(page: str, at: int) -> int:
    return page.count("\n", 0, at) + 1


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Commands with the output that is shown of them. Without a ``$`` in the block, every line is a command."""
    if "$ " not in text:
        yield from (
            (line.split("  #")[0].strip(), []) for line in text.splitlines() if line.strip()
        )
        return
    current: tuple[str, list[str]] | None = None
    for line in text.splitlines():
        if line.startswith("$ "):
            if current:
                yield current
            current = (line[2:].split("  #")[0].strip(), [])
        elif current and line.strip():
            current[1].append(line)
    if current:
        yield current


def missing_line(shown: list[str], printed: str) -> str | None:
    """The first shown line that is not printed where it should be."""
    lines = iter([_squeezed(line) for line in printed.splitlines()])
    for line in shown:
        if line.strip() == "...":
            continue
        wanted = re.compile(".*".join(map(re.escape, _squeezed(line).split("..."))))
        if not any(wanted.fullmatch(printed_line) for printed_line in lines):
            return line
    return None


def _squeezed(line: str) -> str:
    return " ".join(line.split())


class Page:
    """Runs the snippets of one page in a folder of its own."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.text = (ROOT / path).read_text("utf-8")
        self.found = snippets(self.text)
        self.folder, self.program_folder = folder / "page", folder / "program"
        self.site, self.home = folder / "site", folder / "home"
        for each in (self.folder, self.program_folder, self.site, self.home):
            each.mkdir()
        (self.folder / "app.py").write_text(
            ""
        )  # the program that a reader has, unless a page writes one
        self.port = _free_port()
        self.background: list[subprocess.Popen[bytes]] = []
        tools = [str(ROOT / "tests/docs/bin"), str(Path(sys.executable).parent)]
        self.environment = {
            **{
                name: text
                for name, text in os.environ.items()
                if not name.startswith("AGENTKERNEL_")
            },
            "COLUMNS": "200",
            "DOCS_SITE": str(self.site),
            "HOME": str(self.home),
            "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(self.site), os.environ.get("PYTHONPATH", "")]),
            "PYTHONWARNINGS": "ignore::UserWarning",
            "XDG_CONFIG_HOME": str(self.home),
        }

    def run(self) -> None:
        """Files and commands in their order, then the Python of the page."""
        blocks = [snippet for snippet in self.found if snippet.language == "console"]
        said = [command for block in blocks for command, _ in commands(block.text)]
        with contextlib.ExitStack() as stack:
            stack.callback(self._end)
            if not any(command.endswith("&") for command in said):
                stack.enter_context(OpenAIServer(fixed("hello"), port=self.port, models=["any"]))
            for snippet in self.found:
                if snippet.title:
                    self._write(snippet, said)
                elif snippet.language == "console":
                    for command, shown in commands(snippet.text):
                        self._command(command, shown, snippet.line)
            self._run_python()

    def _write(self, snippet: Snippet, said: list[str]) -> None:
        path = self.folder / snippet.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._ported(snippet.text), "utf-8")
        name = Path(snippet.title).parts[0]
        used = path.suffix == ".toml" or any(name in command for command in said)
        assert used, f"{self.path}:{snippet.line}: no command of the page runs {snippet.title}"

    def _command(self, command: str, shown: list[str], line: int) -> None:
        where = f"{self.path}:{line}: {command}"
        for start, check in NOT_RUN.items():
            if command.startswith(start):
                assert check(command), where
                return
        if command.endswith("&"):
            words = [sys.executable, *command.rstrip(" &").split()[1:]]
            self.background.append(
                subprocess.Popen(
                    words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL
                )
            )
            _wait_for(self.port)
            return
        done = self._bash(self._ported(command))
        printed = done.stdout.replace(str(self.port), PORT.rpartition(":")[2])
        printed = printed.replace(str(self.folder), ".")
        failing = any(_FAILURE.search(each) for each in shown)
        assert (done.returncode != 0) == failing, (
            f"{where}: exit status {done.returncode}\n{printed}"
        )
        missing = missing_line(shown, printed)
        assert missing is None, f"{where}: does not print {missing!r}, but\n{printed}"

    def _bash(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def _run_python(self) -> None:
        program, shown = "", []
        for before, snippet in zip([None, *self.found], self.found, strict=False):
            if snippet.language == "python" and not snippet.title:
                program += "\n" * (snippet.line - 1 - program.count("\n")) + snippet.text
            elif snippet.language == "text" and before and before.language == "python":
                shown += snippet.text.splitlines()
        if not program:
            return
        script = self.program_folder / self.path.with_suffix(".py").name  # its lines are the page's
        script.write_text(self._ported(program), "utf-8")
        done = subprocess.run(
            [sys.executable, script],
            cwd=self.program_folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{self.path}: {done.stdout}\n{done.stderr}"
        missing = missing_line(shown, done.stdout)
        assert missing is None, f"{self.path}: does not print {missing!r}, but\n{done.stdout}"

    def _ported(self, text: str) -> str:
        return text.replace(PORT, f"127.0.0.1:{self.port}").replace(
            "port=8000", f"port={self.port}"
        )

    def _end(self) -> None:
        for process in self.background:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        assert time.monotonic() < deadline, "the page's own server does not listen"
        time.sleep(0.05)


def with_snippets(*languages: str) -> list[Path]:
    """The pages that have blocks in one of these languages."""
    return [
        page
        for page in PAGES
        if any(each.language in languages for each in snippets((ROOT / page).read_text("utf-8")))
    ]


RUN = with_snippets("python", "console")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[Path, Future[None]]]:
    """Every page, four at a time: most of the time they wait for interpreters to start."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        pages = [Page(path, tmp_path_factory.mktemp(path.stem)) for path in RUN]
        yield {page.path: pool.submit(page.run) for page in pages}


@pytest.mark.parametrize("path", RUN, ids=str)
def test_snippets_run(runs: Mapping[Path, Future[None]], path: Path) -> None:
    runs[path].result()


@pytest.mark.parametrize("path", with_snippets("toml"), ids=str)
def test_settings_load(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for snippet in snippets((ROOT / path).read_text("utf-8")):
        if snippet.language != "toml" or "project.entry-points" in snippet.text:
            continue
        file = tmp_path / Path(snippet.title or "agentkernel.toml").name
        file.write_text("\n" * (snippet.line - 1) + snippet.text, "utf-8")
        check_options(load_settings(file, environ={}))


def check_options(settings: Settings) -> None:
    """Bind the options of every plugin that is installed; the page that writes one checks it itself."""
    registry = PluginRegistry()
    known = {(plugin.kind, plugin.name) for plugin in registry.plugins()}
    named = [("llm_core", core.plugin, ("cores", name)) for name, core in settings.cores.items()]
    for kind in ("order", "placement", "admission"):
        chosen = getattr(settings.kernel, kind)
        names = chosen if isinstance(chosen, tuple) else (chosen,)
        named += [(kind, name, (kind, name)) for name in names]
    if settings.kernel.window is not None:
        named.append(("window", settings.kernel.window, ("window", settings.kernel.window)))
    for kind, name, place in named:
        if (kind, name) in known:
            settings.bind(registry.options_type(kind, name), *place)


def test_a_wrong_line_of_output_is_found() -> None:
    assert missing_line(["a  b", "c ... e"], "a b\nx\nc d e\n") is None
    assert missing_line(["c", "a"], "a\nc\n") == "a"


def test_every_example_is_listed() -> None:
    listed = (ROOT / "docs/how-to/index.md").read_text("utf-8")
    examples = [path.name for path in (ROOT / "examples").glob("*.py")]
    missing = [name for name in examples if f"`{name}`" not in listed]
    assert not missing
