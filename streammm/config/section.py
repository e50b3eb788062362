"""What sections of the configuration are made of: a frozen model without unknown keys, and kinds of numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Keys of one subject, checked once and then frozen; a key that is none of them is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def seconds(value: float) -> Fraction:
    """A setting as the decimal number that was typed: 0.1 s is a tenth, not the nearest binary fraction."""
    return Fraction(str(value))
