"""What users of AutoGen do besides chatting."""

from __future__ import annotations

import copy
from contextlib import closing
from typing import Any

import pytest

HELLO = [{"role": "user", "content": "hello"}]


def test_answer_is_the_object_that_the_sdk_makes_and_can_be_cached(autogen: Any, lab: Any) -> None:
    def ask() -> Any:
        client = autogen.OpenAIWrapper(config_list=[lab.model()], cache_seed=None)
        answer = client.create(messages=HELLO)
        answer.note = "agents may write on it"
        del answer.message_retrieval_function
        with autogen.Cache.disk() as cache:
            cache.set("answer", answer)
            kept = cache.get("answer")
        assert kept == answer
        return answer, type(answer), getattr(answer, "_request_id", None), kept.note

    lab.both(ask, ["hi"])


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # half a copy of an SDK client
def test_agent_that_has_chatted_is_copied_or_not_alike(autogen: Any, lab: Any) -> None:
    def copies() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        user.initiate_chat(assistant, message="hello", max_turns=1, silent=True)
        try:
            copy.deepcopy(assistant)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the same
            return type(error), str(error)
        return copy.deepcopy(user).name, copy.copy(assistant).name

    lab.both(copies, ["hi"])


def test_runtime_log_is_alike(autogen: Any, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import autogen.runtime_logging

    monkeypatch.setenv("OPENAI_BASE_URL", lab.base_url)
    model = {key: value for key, value in lab.model().items() if key != "base_url"}

    def logged() -> Any:
        autogen.runtime_logging.start(config={"dbname": ":memory:"})
        try:
            config = {"config_list": [model], "cache_seed": None}  # no URL, which ag2 cannot log
            assistant = autogen.AssistantAgent("assistant", llm_config=config)
            user = autogen.UserProxyAgent(
                "user", human_input_mode="NEVER", code_execution_config=False
            )
            user.initiate_chat(assistant, message="hello", max_turns=1, silent=True)
            connection = autogen.runtime_logging.get_connection()
            query = "SELECT request, response, is_cached, cost, source_name FROM chat_completions"
            with closing(connection.execute(query)) as rows:
                return rows.fetchall()
        finally:
            autogen.runtime_logging.stop()

    run = lab.both(logged, ["hi"])
    assert len(run.value) == 1


def test_hooks_that_rewrite_messages_work_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
        assistant.register_hook(
            "process_all_messages_before_reply",
            lambda messages: [{**message, "content": "rewritten"} for message in messages],
        )
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        return user.initiate_chat(assistant, message="hello", max_turns=1)

    assert lab.both(chat, ["hi"]).requests[0][0]["messages"][-1]["content"] == "rewritten"


def test_reply_without_a_chat_is_alike(autogen: Any, lab: Any) -> None:
    def reply() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
        return assistant.generate_reply(messages=HELLO), assistant.generate_oai_reply(HELLO)

    run = lab.both(reply, ["hi", "ho"])
    assert [call.context.agent for call in run.calls("llm")] == ["assistant", "assistant"]


async def _reply_async(autogen: Any, lab: Any) -> Any:
    assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
    return await assistant.a_generate_reply(messages=HELLO)


def test_async_reply_without_a_chat_is_alike(autogen: Any, lab: Any) -> None:
    run = lab.both(lambda: _reply_async(autogen, lab), ["hi"])
    assert [call.context.agent for call in run.calls("llm")] == ["assistant"]


def test_reply_without_messages_and_sender_raises_alike(autogen: Any, lab: Any) -> None:
    async def reply() -> Any:
        return await autogen.AssistantAgent("assistant", llm_config=False).a_generate_reply()

    assert isinstance(lab.both(reply, list).error, AssertionError)


def test_retrieving_agents_own_client_is_seen(autogen: Any, lab: Any) -> None:
    """Capabilities and contrib agents ask through an ``OpenAIWrapper`` of their own."""

    def ask() -> Any:
        agent = autogen.AssistantAgent("assistant", llm_config=lab.config())
        own = autogen.OpenAIWrapper(**lab.config())
        agent.register_reply(
            [autogen.Agent, None],
            lambda recipient, messages, sender, config: (
                True,
                own.create(messages=messages).choices[0].message.content,
            ),
        )
        return agent.generate_reply(messages=HELLO)

    run = lab.both(ask, ["hi"])
    assert run.calls("llm")[0].context.agent == "assistant"


def test_lab_finds_a_difference(autogen: Any, lab: Any) -> None:
    """The comparison itself is proved: a program that can tell fails it."""
    import agentkernel
    from agentkernel.sdk import find_kernel

    assert agentkernel.unwrap() is None
    with pytest.raises(AssertionError):
        lab.both(lambda: find_kernel() is None, list)
