"""Options of plugins."""

from __future__ import annotations

import msgspec

__all__ = ["NoOptions", "Options"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a plugin's options.

    A plugin subclasses it (``class MyOptions(Options, frozen=True)``), declares one field for each option, with its
    type and default, and annotates the ``options`` parameter of its create hook with the class. The kernel validates
    what the user configured against it, so that a create hook sees only valid options, and an invalid one is reported
    with its key, value, expected type and place.
    """


class NoOptions(Options, frozen=True):
    """For plugins that have no options."""
