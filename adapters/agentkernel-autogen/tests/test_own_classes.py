"""Model clients and code executors of the user's own: syscalls, too, and theirs again after ``unwrap()``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import agentkernel

HELLO = [{"role": "user", "content": "hello"}]


class _Answers:
    """What a model client has besides ``create``, as in AutoGen's documentation."""

    def message_retrieval(self, response: Any) -> list[str]:
        return [choice.message.content for choice in response.choices]

    def cost(self, response: Any) -> float:
        response.cost = 0.25
        return 0.25

    @staticmethod
    def get_usage(response: Any) -> dict[str, Any]:
        return {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "total_tokens": 2,
            "cost": 0.25,
            "model": "own",
        }


class ModelClient(_Answers):
    def __init__(self, config: dict[str, Any], **_: Any) -> None:
        self.model = config["model"]

    def create(self, params: dict[str, Any]) -> Any:
        return _answer(f"own: {params['messages'][-1]['content']}", self.model)


def _answer(text: str, model: str) -> Any:
    message = SimpleNamespace(content=text, function_call=None, tool_calls=None)
    return SimpleNamespace(choices=[SimpleNamespace(message=message)], model=model)


class Shouting(ModelClient):
    def create(self, params: dict[str, Any]) -> Any:
        answer = super().create(params)
        return _answer(answer.choices[0].message.content.upper(), answer.model)


class Failing(ModelClient):
    def create(self, params: dict[str, Any]) -> Any:
        raise LookupError("no such model")


class ThroughTheSDK(_Answers):
    """One that asks through the OpenAI SDK."""

    def __init__(self, config: dict[str, Any], **_: Any) -> None:
        import openai

        self.model = config["model"]
        self.sdk = openai.OpenAI(base_url=config["at"], api_key="key-1", max_retries=0)

    def create(self, params: dict[str, Any]) -> Any:
        return self.sdk.chat.completions.create(messages=params["messages"], model=self.model)


def _wrapper(autogen: Any, *classes: type, **settings: Any) -> Any:
    models = [{"model": "own", "model_client_cls": one.__name__, **settings} for one in classes]
    client = autogen.OpenAIWrapper(config_list=models, cache_seed=None)
    for one in classes:
        client.register_model_client(one)
    return client


def _ask(client: Any) -> Any:
    return client.extract_text_or_completion_object(client.create(messages=HELLO))


def test_chat_with_a_model_client_of_ones_own_is_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        config = [{"model": "own", "model_client_cls": "ModelClient"}]
        assistant = autogen.AssistantAgent(
            "assistant", llm_config={"config_list": config, "cache_seed": None}
        )
        assistant.register_model_client(ModelClient)
        assert type(assistant.client._clients[0]) is ModelClient
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        return user.initiate_chat(assistant, message="hello", max_turns=2)

    run = lab.both(chat, list)
    assert run.value.summary.startswith("own: ")
    assert [(call.context.agent, call.model) for call in run.calls("llm")] == [
        ("assistant", "own")
    ] * 2
    assert {outcome.core for _, outcome in run.syscalls} == {"passthrough-1"}


def test_model_client_that_was_registered_before_wrap_is_seen(autogen: Any, lab: Any) -> None:
    early = _wrapper(autogen, ModelClient)
    run = lab.both(lambda: _ask(early), list)
    assert run.value == ["own: hello"]
    assert len(run.calls("llm")) == 1


def test_model_client_that_calls_super_is_one_syscall(autogen: Any, lab: Any) -> None:
    def ask() -> Any:
        return _ask(_wrapper(autogen, ModelClient, Shouting)), _ask(_wrapper(autogen, Shouting))

    run = lab.both(ask, list)
    assert run.value == (["own: hello"], ["OWN: HELLO"])
    assert len(run.calls("llm")) == 2


def test_model_client_names_its_parameter_as_it_likes(autogen: Any, lab: Any) -> None:
    class Listening(ModelClient):
        def create(self, request: Any = None) -> Any:
            return super().create(request or {"messages": [{"content": "nothing"}]})

    def ask() -> Any:
        client = _wrapper(autogen, Listening)
        answers = [_ask(client)[0]]
        (listening,) = client._clients
        asked = listening.create(request={"messages": HELLO}), listening.create()
        return answers + [answer.choices[0].message.content for answer in asked]

    run = lab.both(ask, list)
    assert run.value == ["own: hello", "own: hello", "own: nothing"]
    assert len(run.calls("llm")) == 3


def test_error_of_a_model_client_is_its_own(autogen: Any, lab: Any) -> None:
    run = lab.both(lambda: _ask(_wrapper(autogen, Failing)), list)
    assert type(run.error) is LookupError
    assert run.syscalls[0][1].error is run.error


def test_model_client_with_the_sdk_goes_to_a_core(autogen: Any, lab: Any) -> None:
    run = lab.both(lambda: _ask(_wrapper(autogen, ThroughTheSDK, at=lab.base_url)), ["hi"])
    assert run.value == ["hi"]
    assert [outcome.core for _, outcome in run.syscalls] == ["openai-1"]


def test_classes_are_as_they_were_after_unwrap(autogen: Any, lab: Any) -> None:
    before = vars(ModelClient)["create"], vars(Shouting)["create"]
    client = _wrapper(autogen, ModelClient, Shouting)
    agentkernel.wrap(quiet=True, config={})
    _ask(client)
    assert vars(ModelClient)["create"] is not before[0]
    agentkernel.unwrap()
    assert (vars(ModelClient)["create"], vars(Shouting)["create"]) == before


def test_class_that_a_kept_traceback_holds_works_after_unwrap(autogen: Any, lab: Any) -> None:
    client = _wrapper(autogen, Failing)
    agentkernel.wrap(quiet=True, config={})
    with pytest.raises(LookupError) as kept:
        _ask(client)
    agentkernel.unwrap()
    with pytest.raises(LookupError):
        Failing({"model": "own"}).create({"messages": HELLO})
    assert kept.value.__traceback__ is not None


def test_patch_that_the_program_puts_on_top_stays(
    autogen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _wrapper(autogen, ModelClient)
    agentkernel.wrap(quiet=True, config={})
    _ask(client)
    monkeypatch.setattr(ModelClient, "create", lambda self, params: _answer("mine", "own"))
    agentkernel.unwrap()
    assert _ask(client) == ["mine"]


class Executor:
    """A code executor by protocol alone."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @property
    def code_extractor(self) -> Any:
        from autogen.coding import MarkdownCodeExtractor

        return MarkdownCodeExtractor()

    def execute_code_blocks(self, code_blocks: Any) -> Any:
        from autogen.coding.base import CodeResult

        self.ran += [block.code for block in code_blocks]
        return CodeResult(exit_code=0, output=f"ran {len(self.ran)}")

    def restart(self) -> None:
        self.ran.clear()


class Twice(Executor):
    def execute_code_blocks(self, code_blocks: Any) -> Any:
        super().execute_code_blocks(code_blocks)
        return super().execute_code_blocks(code_blocks)


CODE = "```python\nprint(1)\n```"


def _coder(autogen: Any, executor: Any) -> Any:
    return autogen.ConversableAgent(
        "coder",
        llm_config=False,
        human_input_mode="NEVER",
        code_execution_config={"executor": executor},
    )


@pytest.mark.parametrize(("kind", "ran"), [(Executor, 1), (Twice, 2)])
def test_code_of_an_executor_of_ones_own_is_one_syscall(
    autogen: Any, lab: Any, kind: Any, ran: int
) -> None:
    def execute() -> Any:
        executor = kind()
        agent = _coder(autogen, executor)
        assert agent.code_executor is executor
        return agent.generate_reply([{"role": "user", "content": CODE}]), executor.ran

    run = lab.both(execute, list)
    assert run.value == (
        f"exitcode: 0 (execution succeeded)\nCode output: ran {ran}",
        ["print(1)"] * ran,
    )
    (call,) = run.calls("code")
    assert (call.name, call.context.agent) == (kind.__name__, "coder")
    assert call.arguments == {"code_blocks": [{"language": "python", "code": "print(1)"}]}


def test_executor_takes_what_it_likes_under_any_name(autogen: Any, lab: Any) -> None:
    class Lines(Executor):
        def execute_code_blocks(self, lines: Any = ()) -> Any:
            self.ran += [getattr(line, "code", line) for line in lines]
            return super().execute_code_blocks([])

    def execute() -> Any:
        executor = Lines()
        _coder(autogen, executor).generate_reply([{"role": "user", "content": CODE}])
        executor.execute_code_blocks(lines=["two", "three"])
        executor.execute_code_blocks()
        return executor.ran

    run = lab.both(execute, list)
    assert run.value == ["print(1)", "two", "three"]
    recorded = [call.arguments["code_blocks"] for call in run.calls("code")]
    assert [[block["code"] for block in blocks] for blocks in recorded] == [
        ["print(1)"],
        ["two", "three"],
        [],
    ]


def test_executor_of_an_agent_that_exists_already_is_seen(autogen: Any, lab: Any) -> None:
    early = _coder(autogen, Executor())

    async def execute() -> Any:
        early.code_executor.restart()
        return await early.a_generate_reply([{"role": "user", "content": CODE}])

    assert len(lab.both(execute, list).calls("code")) == 1
    assert vars(Executor)["execute_code_blocks"].__closure__ is None  # the function of this file


def test_executors_that_use_each_other_are_syscalls_each(autogen: Any, lab: Any) -> None:
    class Outer(Executor):
        def execute_code_blocks(self, code_blocks: Any) -> Any:
            return _coder(autogen, Executor()).code_executor.execute_code_blocks(code_blocks)

    def execute() -> Any:
        inner = _coder(autogen, Executor())
        inner.generate_reply([{"role": "user", "content": CODE}])
        return _coder(autogen, Outer()).generate_reply([{"role": "user", "content": CODE}])

    run = lab.both(execute, list)
    assert sorted(call.name for call in run.calls("code")) == ["Executor", "Executor", "Outer"]
