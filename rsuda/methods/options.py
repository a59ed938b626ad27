"""Define what options of methods are: fields with a default, a range and a description."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from rsuda.core.validation import FrozenModel
from rsuda.methods.blocks.paper_weights import PAPER_WEIGHTS


class MethodOptions(FrozenModel):
    """The options of a method: every field has a default, a range and a description."""

    @field_validator("*", mode="before")
    @classmethod
    def _number_is_no_bool(cls, value: Any, field: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(field.field_name)].annotation is not bool:
            raise ValueError(f"it cannot be {str(value).lower()}")
        return value


def _words_or_numbers(*words: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value in words if isinstance(value, str) else _are_weights(value):
            return value
        raise ValueError(f"it is {value!r}; it must be {', '.join(words)} or a list of one number per class")

    return BeforeValidator(check)


def _are_weights(values: Any) -> bool:
    numbers = isinstance(values, list | tuple) and not any(isinstance(v, bool) for v in values)
    return numbers and all(isinstance(v, int | float) and 0 <= v < float("inf") for v in values)


ClassWeights = Annotated[str | list[float], _words_or_numbers("none", "balanced")]
PaperClassWeights = Annotated[str | list[float], _words_or_numbers("paper", "none", "balanced", *PAPER_WEIGHTS)]
Weight = Annotated[float, Field(ge=0)]  # of a term of the loss; 0 leaves the term out
Share = Annotated[float, Field(ge=0, le=1)]
