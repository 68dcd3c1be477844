"""``wrap()`` and ``unwrap()`` on the real litellm."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import agentkernel
import agentkernel_litellm
from agentkernel.api import Seam
from agentkernel.testing import AdapterKit, Reply

HELLO = [{"role": "user", "content": "hello"}]


class TestConformance(AdapterKit):
    plugin = agentkernel_litellm
    targets_installed = True


def _seams() -> list[Seam]:
    adapter = agentkernel_litellm.create_adapter()
    return list(adapter.seams(adapter.targets[0]))


def test_every_handler_of_the_installed_version_has_a_seam() -> None:
    """Each class of a provider with a method that litellm's own functions call as a handler."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None and spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0])
    methods = {"completion", "embedding", "embeddings", "response_api_handler"}
    found = set()
    for source in (root / "llms").rglob("*.py"):
        module = ".".join(("litellm", *source.relative_to(root).with_suffix("").parts))
        for node in ast.parse(source.read_text("utf-8")).body:
            for function in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(function, ast.FunctionDef) and function.name in methods:
                    taken = {argument.arg for argument in function.args.args}
                    if "logging_obj" in taken:
                        assert isinstance(node, ast.ClassDef)
                        found.add((module, f"{node.name}.{function.name}"))
    covered = {(seam.module, seam.attribute) for seam in _seams()}
    not_called = {
        ("litellm.llms.azure_ai.agents.handler", "AzureAIAgentsHandler.completion"),
        ("litellm.llms.azure_ai.agents.transformation", "AzureAIAgentsConfig.completion"),
        ("litellm.llms.bedrock.chat.invoke_handler", "BedrockLLM.completion"),
        ("litellm.llms.custom_llm", "CustomLLM.completion"),
        ("litellm.llms.custom_llm", "CustomLLM.embedding"),
        ("litellm.llms.sagemaker.chat.handler", "SagemakerChatHandler.completion"),
        (
            "litellm.llms.vertex_ai.vertex_gemma_models.transformation",
            "VertexGemmaConfig.completion",
        ),
    }
    assert found - covered - not_called == set()


def test_unwrap_puts_every_original_back(litellm: Any) -> None:
    agentkernel.wrap(quiet=True)
    agentkernel.unwrap()
    reached = [seam for seam in _seams() if seam.module in sys.modules]
    before = [attrgetter(seam.attribute)(sys.modules[seam.module]) for seam in reached]
    report = agentkernel.wrap(frameworks=["litellm"], quiet=True)
    assert report.frameworks[0].failed == ()
    during = [attrgetter(seam.attribute)(sys.modules[seam.module]) for seam in reached]
    assert all(now is not then for now, then in zip(during, before, strict=True))
    agentkernel.unwrap()
    after = [attrgetter(seam.attribute)(sys.modules[seam.module]) for seam in reached]
    assert all(now is then for now, then in zip(after, before, strict=True))
    assert len(reached) > 20


def test_wrapping_twice_counts_once(litellm: Any, lab: Any) -> None:
    def ask() -> str:
        agentkernel.wrap(quiet=True)
        text: str = litellm.completion(**lab.ask()).choices[0].message.content
        return text

    run = lab.wrapped(ask, ["hi"])
    assert (run.value, len(run.syscalls)) == ("hi", 1)


def test_functions_and_routers_from_before_wrap_are_reached(litellm: Any, lab: Any) -> None:
    from litellm import completion

    parameters = {"model": "openai/m", "api_base": lab.base_url, "api_key": "k"}
    router = litellm.Router(model_list=[{"model_name": "a", "litellm_params": parameters}])

    def ask() -> list[str]:
        answers = [completion(**lab.ask()), router.completion("a", HELLO)]
        return [answer.choices[0].message.content for answer in answers]

    run = lab.wrapped(ask, lambda _: Reply(content="hi"))
    assert (run.value, len(run.syscalls)) == (["hi", "hi"], 2)


def test_litellm_imported_before_or_after_wrap_is_wrapped() -> None:
    script = """
import os, warnings; warnings.simplefilter("ignore")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import agentkernel
from agentkernel.testing import OpenAIServer, Reply
FIRST
SECOND
with OpenAIServer(Reply(content="hi")) as server:
    litellm.completion(
        "openai/m", [{"role": "user", "content": "hello"}], api_base=server.base_url, api_key="k"
    )
print(agentkernel.current_kernel().stats().llm_calls)
agentkernel.unwrap()
"""
    steps = ("import litellm", "agentkernel.wrap(quiet=True)")
    for first, second in (steps, steps[::-1]):
        program = script.replace("FIRST", first).replace("SECOND", second)
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=90
        )
        assert done.stdout.strip() == "1"
