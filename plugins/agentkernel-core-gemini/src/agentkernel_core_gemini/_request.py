"""The request: a call in OpenAI's form as the body of ``generateContent``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from agentkernel.api import InvalidCall, InvalidOutputSchema, InvalidToolSchema, LLMCall
from agentkernel_core_gemini._contents import conversation_of
from agentkernel_core_gemini._schemas import Inexpressible, in_api_form
from agentkernel_core_gemini._sdk import Payload, Request
from agentkernel_core_gemini._signatures import Signatures, must_sign

__all__ = ["request_of"]

_Count = Annotated[int, msgspec.Meta(ge=1)]
_CURE = (
    "Fields of Gemini's own go into params['extra_body'], such as "
    "{'generationConfig': {'thinkingConfig': {'thinkingBudget': 0}}}"
)
_OMITTED = frozenset({"NotGiven", "Omit"})
"""Names of the openai client's types for "leave this out"; it is not imported for them."""

_CONFIG = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""Parameters that ``generationConfig`` has too, under another name."""

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Choice(msgspec.Struct, frozen=True):
    function: _Named


class _JSONSchema(msgspec.Struct, frozen=True):
    schema: dict[str, Any]


class _Format(msgspec.Struct, frozen=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JSONSchema | None = None


class _Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is taken of OpenAI's parameters, and Gemini's ``top_k``; ranges are the model's to say."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: _Count | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: str | list[str] | None = None
    response_format: _Format | None = None
    tool_choice: Literal["auto", "none", "required"] | _Choice | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None
    extra_body: dict[str, Any] | None = None
    extra_headers: dict[str, str] | None = None
    # Without effect on the answer, or true of Gemini anyway.
    parallel_tool_calls: Literal[True] | None = None
    metadata: Any = None
    store: Any = None
    stream: Any = None
    stream_options: Any = None
    user: Any = None


def request_of(
    call: LLMCall, model: str, signatures: Signatures, *, takes_json_schema: bool
) -> Request:
    """The request for ``call``, independent of it: nothing in it is the call's own object.

    Raises:
        InvalidCall: something in the call is malformed, or Gemini has nothing like it.
    """
    params = _params_of(call.params)
    fields = conversation_of(call.messages, signatures, sign=must_sign(model))
    if call.tools:
        fields.update(_tools(call.tools, params.tool_choice, takes_json_schema))
    config = _config(params, takes_json_schema)
    if config:
        fields["generationConfig"] = config
    return Request(
        model=model,
        body=_as_json(_merged(fields, params.extra_body or {})),
        headers={**(call.headers or {}), **(params.extra_headers or {})},
        timeout_s=params.timeout,
    )


def _params_of(params: Mapping[str, Any]) -> _Params:
    given = {
        name: value
        for name, value in params.items()
        if value is not None and type(value).__name__ not in _OMITTED
    }
    try:
        return msgspec.convert(given, _Params)
    except msgspec.ValidationError as error:
        raise InvalidCall(f"params: {error}. {_CURE}") from error


def _config(params: _Params, takes_json_schema: bool) -> Payload:
    config: Payload = {}
    for name, field in _CONFIG.items():
        value = getattr(params, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidCall(f"params: expected a finite number, found {value} - at `$.{name}`")
        if value is not None:
            config[field] = value
    if params.stop is not None:
        config["stopSequences"] = [params.stop] if isinstance(params.stop, str) else params.stop
    wanted = params.response_format
    if wanted is not None and wanted.type != "text":
        config["responseMimeType"] = "application/json"
        if wanted.json_schema is not None:
            config.update(_output(wanted.json_schema.schema, takes_json_schema))
        elif wanted.type == "json_schema":
            raise InvalidOutputSchema("it is missing: response_format has no json_schema")
    return config


def _output(schema: Mapping[str, Any], takes_json_schema: bool) -> Payload:
    if takes_json_schema:
        return {"responseJsonSchema": schema}
    try:
        return {"responseSchema": in_api_form(schema)}
    except Inexpressible as error:
        raise InvalidOutputSchema(_with_cure(error.problem), where=error.where) from error


def _tools(
    tools: Sequence[Mapping[str, Any]], choice: str | _Choice | None, takes_json_schema: bool
) -> Payload:
    declared = [_declaration(tool, at, takes_json_schema) for at, tool in enumerate(tools)]
    fields: Payload = {"tools": [{"functionDeclarations": declared}]}
    if isinstance(choice, _Choice):
        fields["toolConfig"] = _calling("ANY", allowedFunctionNames=[choice.function.name])
    elif choice is not None:
        fields["toolConfig"] = _calling(_MODES[choice])
    return fields


def _calling(mode: str, **more: Any) -> Payload:
    return {"functionCallingConfig": {"mode": mode, **more}}


def _declaration(tool: Any, at: int, takes_json_schema: bool) -> Payload:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidCall(
            f"tools[{at}]: expected {{'type': 'function', 'function': {{'name': ...}}}}, found {tool!r}. "
            "Tools of Gemini's own go into params['extra_body']['tools']"
        )
    declared: Payload = {"name": function["name"], "description": function.get("description") or ""}
    parameters = function.get("parameters")
    if not parameters or not (parameters.get("properties") or "$ref" in parameters):
        return declared  # the API refuses an object schema without properties
    if takes_json_schema:
        return {**declared, "parametersJsonSchema": parameters}
    try:
        return {**declared, "parameters": in_api_form(parameters)}
    except Inexpressible as error:
        problem = f"at {error.where}: {_with_cure(error.problem)}"
        raise InvalidToolSchema(function["name"], problem) from error


def _with_cure(problem: str) -> str:
    return f"{problem}, which google-generativeai cannot send; the SDK google-genai can"


def _merged(fields: Mapping[str, Any], more: Mapping[str, Any]) -> Payload:
    """Objects are merged, everything else replaces what is there."""
    merged = {**fields, **more}
    for name in fields.keys() & more.keys():
        if isinstance(fields[name], Mapping) and isinstance(more[name], Mapping):
            merged[name] = _merged(fields[name], more[name])
    return merged


def _as_json(fields: Payload) -> Payload:
    try:
        copy: Payload = msgspec.json.decode(msgspec.json.encode(fields, enc_hook=_plain))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidCall(f"the request is no JSON: {error}") from error
    return copy


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} {value!r:.80} is no JSON value")
