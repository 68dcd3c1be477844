"""``ak agent``: the installed agents, one run of them, and what goes wrong with it."""

from __future__ import annotations

import json

import pytest

from agentkernel.testing import OpenAIServer
from agentkernel.testing.openai_server import fixed

AGENT = """
import asyncio
from agentkernel.api import Agent, AgentResult, CoreStatusError, Options, hookimpl

class CaseOptions(Options, frozen=True):
    how: str = "upper"
    words: tuple[str, ...] = ()

class Case(Agent):
    def __init__(self, options):
        self.options = options

    async def run(self, task, client, tools):
        how = self.options.how
        if how == "raise":
            raise ValueError("it fell over")
        if how == "text":
            return task
        if how == "ask":
            response = await client.llm_chat([{"role": "user", "content": task}])
            return AgentResult(answer=response.text)
        if how == "tool":
            return AgentResult(answer=str(await client.call_tool(tools[0].name, {"text": task})))
        if how == "give up":
            return AgentResult(answer="nearly", finished=False)
        return AgentResult(answer=" ".join([task.upper(), *self.options.words]))

@hookimpl
def create_agent(options: CaseOptions):
    return Case(options)
"""

TOOL = """
from agentkernel.api import NoOptions, Tool, hookimpl

@hookimpl
def register_tools(options: NoOptions):
    text = {"type": "object", "properties": {"text": {"type": "string"}}}
    return [Tool(name="length", description="Counts.", parameters=text, function=len_of)]

def len_of(text):
    return len(text)
"""

PROGRAM = """
import agentkernel.api
from agentkernel.api import Agent, AgentResult, NoOptions, hookimpl

class Nosy(Agent):
    async def run(self, task, client, tools):
        context = client._context()
        return AgentResult(answer=f"{context.agent} {context.program.startswith('nosy')}")

@hookimpl
def create_agent(options: NoOptions):
    return Nosy()
"""


@pytest.fixture
def case(site):
    """The agent ``case`` and the tool ``length`` are installed."""
    site.add(
        "agentkernel-agent-case",
        modules={"case_agent.py": AGENT},
        plugins={"agent:case": "case_agent"},
    )
    site.add(
        "agentkernel-tool-length",
        modules={"length_tool.py": TOOL},
        plugins={"tool:length": "length_tool"},
    )
    return site


def core(base_url: str) -> str:
    return f'[cores.main]\nplugin = "openai"\nbase_url = "{base_url}"\napi_key = "none"\nmodel = "any"\n'


def test_agents_are_listed_with_what_they_do(process, case):
    (metadata,) = case.folder.glob("agentkernel_agent_case-*/METADATA")
    metadata.write_text(metadata.read_text() + "Summary: Shouts.\n")
    done = process("agent", "ls", "--json")
    assert done.returncode == 0
    (found,) = [each for each in json.loads(done.stdout) if each["name"] == "case"]
    assert found == {
        "name": "case",
        "distribution": "agentkernel-agent-case",
        "version": "1.0",
        "status": "available",
        "summary": "Shouts.",
        "reason": "",
    }
    assert "Shouts." in process("agent", "ls").stdout


def test_an_agent_that_is_blocked_is_listed_with_the_reason(process, case, here):
    (here / "agentkernel.toml").write_text('[plugins]\nblock = ["agent:case"]\n')
    listed = process("agent", "ls").stdout
    assert "blocked" in listed
    assert "agent:case" in listed
    done = process("agent", "run", "case", "hello")
    assert (done.returncode, done.stdout) == (2, "")
    assert "agent plugin 'case'" in done.stderr


def test_listing_imports_no_agent(process, site):
    site.add(
        "broken",
        modules={"broken_agent.py": "raise SystemExit(9)"},
        plugins={"agent:broken": "broken_agent"},
    )
    done = process("agent", "ls", "--json")
    assert done.returncode == 0
    assert "broken" in [each["name"] for each in json.loads(done.stdout)]


def test_the_answer_is_all_that_is_printed(process, case):
    done = process("agent", "run", "case", "hello there")
    assert (done.returncode, done.stdout, done.stderr) == (0, "HELLO THERE\n", "")


def test_a_task_of_a_dash_is_read_from_standard_input(process, case):
    assert process("agent", "run", "case", "-", stdin="from a pipe").stdout == "FROM A PIPE\n"


def test_options_win_over_the_settings_and_are_converted(process, case, here):
    (here / "agentkernel.toml").write_text('[agent.case]\nhow = "raise"\nwords = ["configured"]\n')
    done = process("agent", "run", "case", "x", "--option", "how=upper")
    assert done.stdout == "X configured\n"
    done = process("agent", "run", "case", "x", "--option", "how=upper", "--option", "words=a, b")
    assert done.stdout == "X a b\n"


def test_only_the_named_settings_file_is_read(process, case, here):
    (here / "agentkernel.toml").write_text('[agent.case]\nwords = ["project"]\n')
    (here / "other.toml").write_text('[agent.case]\nwords = ["other"]\n')
    assert process("agent", "run", "case", "x", "--config", "other.toml").stdout == "X other\n"


def test_an_llm_call_is_answered_by_the_configured_core(process, case, here):
    with OpenAIServer(fixed("from the core")) as server:
        (here / "agentkernel.toml").write_text(core(server.base_url))
        done = process("agent", "run", "case", "x", "--option", "how=ask", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["answer"], report["llm_calls"], report["tool_calls"]) == ("from the core", 1, 0)
    assert report["finished"] is True
    assert report["agent"] == "case"


def test_tools_come_from_the_settings_and_from_the_option(process, case, here):
    asked = ("agent", "run", "case", "four", "--option", "how=tool")
    assert process(*asked, "--tool", "length").stdout == "4\n"
    (here / "agentkernel.toml").write_text('[kernel]\ntools = ["length"]\n')
    assert process(*asked).stdout == "4\n"
    assert process(*asked, "--tool", "length").stdout == "4\n"


def test_the_run_is_a_program_under_the_name_of_the_agent(process, site):
    site.add("nosy", modules={"nosy_agent.py": PROGRAM}, plugins={"agent:nosy": "nosy_agent"})
    assert process("agent", "run", "nosy", "x").stdout == "nosy True\n"


def test_an_agent_that_gave_up_exits_with_1_and_says_so(process, case):
    done = process("agent", "run", "case", "x", "--option", "how=give up")
    assert (done.returncode, done.stdout) == (1, "nearly\n")
    assert "case gave up after 0 LLM calls" in done.stderr


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("raise", "agent plugin 'case' raised ValueError while running run(): it fell over"),
        ("text", "run() must return an AgentResult, found str 'x'"),
    ],
)
def test_a_fault_of_the_agent_names_it_and_exits_with_2(process, case, how, expected):
    done = process("agent", "run", "case", "x", "--option", f"how={how}")
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_core_the_error_says_what_to_configure(process, case, here):
    (here / "agentkernel.toml").write_text('[kernel]\ndefault_core = ""\n')
    done = process("agent", "run", "case", "x", "--option", "how=ask")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Add one under [cores.NAME] in agentkernel.toml" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("cas", "x"), "Did you mean 'case'?"),
        (("case",), "Missing argument 'TASK'"),
        (("case", " "), "it is empty: say what the agent shall do"),
        (("case", "x", "--option", "how"), "expected KEY=VALUE, found 'how'"),
        (("case", "x", "--option", "hwo=1"), "--option: agent.case.hwo: expected one of the keys"),
        (("case", "x", "--tool", "lenght"), "Did you mean 'length'?"),
        (("case", "x", "--config", "none.toml"), "does not exist"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(process, case, arguments, expected):
    done = process("agent", "run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_option_in_the_settings_is_said_with_its_place(process, case, here):
    (here / "agentkernel.toml").write_text("[agent.case]\nhow = 1\n")
    done = process("agent", "run", "case", "x")
    assert done.returncode == 2
    assert "agentkernel.toml:2: agent.case.how: expected a string, found 1" in done.stderr
