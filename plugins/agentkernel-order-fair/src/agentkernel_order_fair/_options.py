"""The options of the order ``fair``."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import Options

__all__ = ["FairOptions"]

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class FairOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        weights: by tenant; one of weight 2 gets twice as much as one of weight 1, which those have that are not named.
        output_weight: how many tokens of a prompt one token of an answer counts as.
        scale_s, age_s: of the order within a tenant, as in ``plas``.
    """

    weights: dict[str, _Positive] = msgspec.field(default_factory=dict)
    output_weight: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    scale_s: _Positive = 2.0
    age_s: _Positive = 600.0
