"""What ``wrap()`` says that it did."""

from __future__ import annotations

import msgspec


class FrameworkReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``wrap()`` did about one adapter.

    Attributes:
        adapter: its name.
        target: ``pyautogen 0.2.35``, or what was looked for when nothing was found.
        wrapped: whether it is wrapped; otherwise ``reason`` says why not.
        reason: why it is not wrapped, or what to know about it.
        seams: attributes that are patched, or will be once their module is imported.
        failed: attributes that could not be patched, and why.
        not_covered: what of the framework stays outside the kernel.
        unreachable: objects that existed before and that the patches cannot reach.
    """

    adapter: str
    target: str
    wrapped: bool
    reason: str = ""
    seams: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.wrapped:
            return f"{self.adapter}: not wrapped: {self.reason}"
        parts = [f"{self.adapter}: {self.target}, {len(self.seams)} seams"]
        if self.failed:
            parts.append("NOT patched: " + ", ".join(self.failed))
        if self.not_covered:
            parts.append("not covered: " + ", ".join(self.not_covered))
        if self.unreachable:
            parts.append("not reached: " + ", ".join(self.unreachable))
        return "; ".join(parts)


class WrapReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``wrap()`` did, one entry an adapter. ``str()`` of it has one line each."""

    frameworks: tuple[FrameworkReport, ...]

    def __str__(self) -> str:
        if not self.frameworks:
            return "agentkernel: no adapter is installed: pip install 'agentkernel[FRAMEWORK]', as for autogen, openai"
        return "\n".join(f"agentkernel: {framework}" for framework in self.frameworks)
