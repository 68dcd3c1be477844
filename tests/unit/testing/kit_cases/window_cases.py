"""Window policies for the proof of WindowKit: correct ones, and one defect each."""

from __future__ import annotations

import asyncio
import copy
import json
import os
from pathlib import Path
from typing import Any

import msgspec

from agentkernel.api import (
    Ask,
    ContextWindowExceeded,
    LLMCall,
    NoOptions,
    SyscallError,
    WindowPolicy,
    hookimpl,
)
from agentkernel.api.turns import older_turns
from agentkernel.testing.kits import WindowKit


class PluginOf:
    """A plugin that creates window policies of one class."""

    def __init__(self, made: type[Any]) -> None:
        self._made = made

    @hookimpl
    def create_window_policy(self, options: NoOptions) -> WindowPolicy:
        return self._made()


def without(call: LLMCall, gone: list[int]) -> LLMCall:
    kept = [one for index, one in enumerate(call.messages) if index not in set(gone)]
    return msgspec.structs.replace(call, messages=kept)


class Half(WindowPolicy):
    """Leaves out the older half of the older turns."""

    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        turns = older_turns(call.messages)
        gone = [index for turn in turns[: (len(turns) + 1) // 2] for index in turn]
        return without(call, gone) if gone else None


class TestCorrect(WindowKit):
    plugin = PluginOf(Half)


class Asks(Half):
    """Lets the model say what the first turn was about, as far as it can."""

    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        turns = older_turns(call.messages)
        question = msgspec.structs.replace(call, messages=call.messages[:3], tools=None)
        try:
            text = (await ask(question)).text
        except SyscallError:
            return await super().fit(call, excess, ask)
        shorter = without(call, [index for turn in turns for index in turn])
        summary = {"role": "user", "content": text}
        shorter = msgspec.structs.replace(shorter, messages=[summary, *shorter.messages])
        return shorter if len(str(shorter)) < len(str(call)) else None


class TestCorrectThatAsks(WindowKit):
    plugin = PluginOf(Asks)


class Clips(WindowPolicy):
    """Cuts the longest text in half."""

    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        messages = [dict(one) for one in call.messages]
        texts = [one for one in messages if isinstance(one["content"], str)]
        longest = max(texts, key=lambda one: len(one["content"]), default={"content": ""})
        if len(longest["content"]) < 400:
            return None
        longest["content"] = longest["content"][: len(longest["content"]) // 2]
        return msgspec.structs.replace(call, messages=messages)


class TestCorrectForSomethingElse(WindowKit):
    plugin = PluginOf(Clips)
    fits_chats, rounds = False, 500


class GivesUp(WindowPolicy):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        return None


class TestGivesUpAtOnce(WindowKit):
    plugin = PluginOf(GivesUp)
    breaks, because = "test_a_long_chat_is_made_to_fit", "given up at"


class Same(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        return await super().fit(call, excess, ask) or call


class TestGivesTheSameCallBack(WindowKit):
    plugin = PluginOf(Same)
    breaks = "test_calls_get_smaller_until_they_fit_or_are_given_up[counts-alone]"
    because = "neither fits nor is given up"


class Pads(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        shorter = await super().fit(call, excess, ask)
        if shorter is None or len(call.params) > 1:
            return None
        padding = {**call.params, "stop": "x" * 100_000}
        return msgspec.structs.replace(shorter, params=padding)


class TestAddsMoreThanItTakes(WindowKit):
    plugin = PluginOf(Pads)
    breaks = "test_calls_get_smaller_until_they_fit_or_are_given_up[counts-chat]"
    because = "smaller than the one before"


class Slow(WindowPolicy):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        turns = older_turns(call.messages)
        first = call.messages[turns[0][0]] if turns else {"content": ""}
        if not isinstance(first["content"], str) or not first["content"]:
            return None
        shorter = list(call.messages)
        shorter[turns[0][0]] = {**first, "content": first["content"][:-1]}
        return msgspec.structs.replace(call, messages=shorter)


class TestTakesALetterAtATime(WindowKit):
    plugin = PluginOf(Slow)
    breaks, because = "test_a_long_chat_is_made_to_fit", "after 50 rounds"


class Messages(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> Any:
        shorter = await super().fit(call, excess, ask)
        return shorter and shorter.messages


class TestReturnsMessages(WindowKit):
    plugin = PluginOf(Messages)
    breaks, because = "test_a_long_chat_is_made_to_fit", "returns an LLMCall or None"


class Counts(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        assert excess.prompt_tokens > excess.window_tokens  # type: ignore[operator]
        return await super().fit(call, excess, ask)


class TestNeedsCounts(WindowKit):
    plugin = PluginOf(Counts)
    breaks = "test_calls_get_smaller_until_they_fit_or_are_given_up[no counts-chat]"
    because = "TypeError"


class Shortens(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        before = copy.deepcopy(call)
        del call.messages[1:3]  # type: ignore[attr-defined]
        return await super().fit(before, excess, ask)


class TestChangesTheCallItWasGiven(WindowKit):
    plugin = PluginOf(Shortens)
    breaks, because = "test_nothing_that_it_was_given_is_changed", "fit changes nothing"


class TestTakesOnlyLists(WindowKit):
    plugin = PluginOf(Shortens)
    breaks, because = "test_messages_that_cannot_be_changed_are_taken", "TypeError"


class Encodes(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        json.dumps(list(call.messages))
        return await super().fit(call, excess, ask)


class TestTakesOnlyDicts(WindowKit):
    plugin = PluginOf(Encodes)
    breaks, because = "test_messages_that_cannot_be_changed_are_taken", "not JSON serializable"


class Anew(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        shorter = await super().fit(call, excess, ask)
        return shorter and LLMCall(messages=shorter.messages, model=call.model, core=call.core)


class TestForgetsWhoAsks(WindowKit):
    plugin = PluginOf(Anew)
    breaks, because = "test_who_asks_and_how_stays[chat]", "a smaller call has the same"


class Last(WindowPolicy):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        return without(call, [len(call.messages) - 1]) if len(call.messages) > 1 else None


class TestTakesTheLastMessage(WindowKit):
    plugin = PluginOf(Last)
    breaks, because = "test_the_conversation_ends_as_it_did[chat]", "the last message was of role"


class Everything(WindowPolicy):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        return msgspec.structs.replace(call, messages=[])


class TestTakesAllMessages(WindowKit):
    plugin = PluginOf(Everything)
    breaks, because = "test_the_conversation_ends_as_it_did", "has messages"


class Third(WindowPolicy):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        count = len(call.messages)
        return without(call, list(range(count // 3))) if count > 3 else None


class TestSeparatesResultsFromCalls(WindowKit):
    plugin = PluginOf(Third)
    breaks = "test_tool_calls_and_their_results_stay_together[tools]"
    because = "results without call"


class Wraps(Asks):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        try:
            await ask(call)
        except Exception as error:
            raise RuntimeError("no summary") from error
        return None


class TestReplacesErrorsOfAsk(WindowKit):
    plugin = PluginOf(Wraps)
    breaks, because = "test_errors_of_ask_pass_or_are_dealt_with", "no summary"


class Stubborn(Asks):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        try:
            return await super().fit(call, excess, ask)
        except asyncio.CancelledError:
            return None


class TestSwallowsCancellation(WindowKit):
    plugin = PluginOf(Stubborn)
    breaks, because = "test_cancellation_passes", "swallowed"


class OneAtATime(Asks):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        self.call = call
        await asyncio.sleep(0)
        return await super().fit(self.call, excess, ask)


class TestMixesCalls(WindowKit):
    plugin = PluginOf(OneAtATime)
    breaks, because = "test_calls_at_once_do_not_mix", "text of another call"


class Notes(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        self.note(call.label)
        return await super().fit(call, excess, ask)

    def note(self, text: str) -> None:
        Path(os.devnull).write_text(text)


class TestWritesAFile(WindowKit):
    plugin = PluginOf(Notes)
    breaks, because = "test_no_io", "does no I/O"


class Again(Half):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        for index in range(len(call.messages)):
            older_turns(call.messages[:index])
        return await super().fit(call, excess, ask)


class TestStartsAgainAtEveryMessage(WindowKit):
    plugin = PluginOf(Again)
    breaks, because = "test_cost_grows_with_the_length_and_not_faster", "four times the turns"
