"""Vocabularies for tiktoken, which would download them to count the tokens of streamed answers."""

import tiktoken.registry

for name in ("cl100k_base", "o200k_base", "p50k_base"):
    tiktoken.registry.ENCODINGS[name] = tiktoken.Encoding(
        name,
        pat_str=r"(?s).{1,4}",
        mergeable_ranks={bytes([number]): number for number in range(256)},
        special_tokens={},
    )
