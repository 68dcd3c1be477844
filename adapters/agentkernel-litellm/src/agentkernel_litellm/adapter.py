"""Which of litellm's functions are replaced: the handlers of its providers.

``litellm.completion`` and its relatives do the user's side of a call: cache, retries, fallbacks, budgets, callbacks, mock
answers. Then they look up the handler of the provider, which asks the LLM. The handlers are looked up at each call, so
that every way to call litellm is reached: a ``Router``, functions that were imported by name before ``wrap()``, litellm's
calls of itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api import Adapter, Seam, Target
from agentkernel_litellm import handlers

__all__ = ["LiteLLMAdapter"]

_OPENAI_HANDLERS = (
    "litellm.llms.azure.azure:AzureChatCompletion.completion",
    "litellm.llms.azure.chat.o_series_handler:AzureOpenAIO1ChatCompletion.completion",
    "litellm.llms.groq.chat.handler:GroqChatCompletion.completion",
    "litellm.llms.openai.openai:OpenAIChatCompletion.completion",
    "litellm.llms.openai_like.chat.handler:OpenAILikeChatHandler.completion",
)
"""Their requests are those of OpenAI's chat completions."""

_HTTP_HANDLER = "litellm.llms.custom_httpx.llm_http_handler:BaseLLMHTTPHandler"
"""The handler of most providers; also of those whose requests are OpenAI's."""

_LOGGING = "litellm.litellm_core_utils.litellm_logging"

_OTHER_HANDLERS = (
    "litellm.llms.anthropic.chat.handler:AnthropicChatCompletion.completion",
    "litellm.llms.azure.azure:AzureChatCompletion.embedding",
    "litellm.llms.azure.completion.handler:AzureTextCompletion.completion",
    "litellm.llms.azure_ai.anthropic.handler:AzureAnthropicChatCompletion.completion",
    "litellm.llms.azure_ai.embed.handler:AzureAIEmbedding.embedding",
    "litellm.llms.bedrock.chat.converse_handler:BedrockConverseLLM.completion",
    "litellm.llms.bedrock.embed.embedding:BedrockEmbedding.embeddings",
    "litellm.llms.codestral.completion.handler:CodestralTextCompletion.completion",
    "litellm.llms.custom_httpx.aiohttp_handler:BaseLLMAIOHTTPHandler.completion",
    "litellm.llms.databricks.embed.handler:DatabricksEmbeddingHandler.embedding",
    "litellm.llms.deprecated_providers.aleph_alpha:completion",
    "litellm.llms.huggingface.embedding.handler:HuggingFaceEmbedding.embedding",
    "litellm.llms.ollama.completion.handler:ollama_embeddings",
    "litellm.llms.oobabooga.chat.oobabooga:completion",
    "litellm.llms.oobabooga.chat.oobabooga:embedding",
    "litellm.llms.openai.completion.handler:OpenAITextCompletion.completion",
    "litellm.llms.openai.openai:OpenAIChatCompletion.embedding",
    "litellm.llms.openai_like.embedding.handler:OpenAILikeEmbeddingHandler.embedding",
    "litellm.llms.petals.completion.handler:completion",
    "litellm.llms.predibase.chat.handler:PredibaseChatCompletion.completion",
    "litellm.llms.sagemaker.completion.handler:SagemakerLLM.completion",
    "litellm.llms.sagemaker.completion.handler:SagemakerLLM.embedding",
    "litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini:VertexLLM.completion",
    "litellm.llms.vertex_ai.gemini_embeddings.batch_embed_content_handler:GoogleBatchEmbeddings.batch_embeddings",
    "litellm.llms.vertex_ai.multimodal_embeddings.embedding_handler:VertexMultimodalEmbedding.multimodal_embedding",
    "litellm.llms.vertex_ai.vertex_ai_non_gemini:completion",
    "litellm.llms.vertex_ai.vertex_ai_partner_models.main:VertexAIPartnerModels.completion",
    "litellm.llms.vertex_ai.vertex_embeddings.embedding_handler:VertexEmbedding.embedding",
    "litellm.llms.vertex_ai.vertex_gemma_models.main:VertexAIGemmaModels.completion",
    "litellm.llms.vertex_ai.vertex_model_garden.main:VertexAIModelGardenModels.completion",
    "litellm.llms.vllm.completion.handler:completion",
    "litellm.llms.watsonx.chat.handler:WatsonXChatHandler.completion",
    "litellm.main:nlp_cloud_chat_completion",
    "litellm.main:replicate_chat_completion",
    f"{_HTTP_HANDLER}.anthropic_messages_handler",
    f"{_HTTP_HANDLER}.embedding",
    f"{_HTTP_HANDLER}.response_api_handler",
)


class LiteLLMAdapter(Adapter):
    """LLM calls below litellm's cache, retries, fallbacks, budgets and callbacks."""

    targets = (Target(distribution="litellm", supported=">=1.83,<1.107", module="litellm"),)
    not_covered = (
        "embeddings of a CustomLLM",
        "images, audio, moderation, reranking, files, batches, realtime",
    )

    def seams(self, target: Target) -> Sequence[Seam]:
        """The seams of litellm."""
        _ = target
        return (
            *(_seam(place, handlers.ask_openai) for place in _OPENAI_HANDLERS),
            _seam(f"{_HTTP_HANDLER}.completion", handlers.ask_over_http),
            *(_seam(place, handlers.ask) for place in _OTHER_HANDLERS),
            _seam("litellm.llms.ollama.completion.handler:ollama_aembeddings", handlers.ask_async),
            _seam("litellm.main:custom_chat_llm_router", handlers.route_to_custom),
            _seam(f"{_LOGGING}:Logging.post_call", handlers.log_answer),
            _seam(
                "litellm.router:Router._acompletion_streaming_iterator", handlers.fall_back_async
            ),
            _seam("litellm.router:Router._completion_streaming_iterator", handlers.fall_back),
        )


def _seam(place: str, replace: handlers.Replace) -> Seam:
    module, _, attribute = place.partition(":")
    return Seam(module=module, attribute=attribute, kind="llm", replace=replace)
