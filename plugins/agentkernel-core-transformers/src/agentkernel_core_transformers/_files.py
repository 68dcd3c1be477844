"""Where the files of a model lie."""

from __future__ import annotations

from pathlib import Path

from agentkernel.api import LLMCoreError
from agentkernel_core_transformers._options import TransformersOptions

__all__ = ["chat_template_source", "model_folder"]

_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken")
"""No pickled weights."""


def model_folder(options: TransformersOptions) -> Path:
    """The folder of the model: ``model`` itself, or where the local cache has the hub model of that id.

    Raises:
        LLMCoreError: there is none.
    """
    folder = Path(options.model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    code = ("*.py",) if options.trust_remote_code else ()
    try:
        return Path(
            snapshot_download(
                options.model,
                local_files_only=not options.download,
                allow_patterns=[*_FILES, *code],
            )
        )
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        if options.download:
            cure = f"It could not be fetched from the hub either: {error}"
        else:
            cure = (
                "Set `model` to a folder, set download = true to fetch it when the core starts, "
                f"or fetch it now: hf download {options.model}"
            )
        raise LLMCoreError(
            f"model = {options.model!r}: no folder has this path, and the local cache of the Hugging Face hub "
            f"has no model of this id. {cure}"
        ) from error


def chat_template_source(options: TransformersOptions) -> str | None:
    """The text of the configured chat template.

    Raises:
        LLMCoreError: it cannot be read.
    """
    if options.chat_template is None:
        return None
    try:
        return Path(options.chat_template).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LLMCoreError(
            f"chat_template = {options.chat_template!r}: expected a file with a Jinja template: {error}"
        ) from error
