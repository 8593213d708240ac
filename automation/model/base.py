"""What every definition has in common: frozen, and unknown keys are refused."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]*$", max_length=200)]


class Definition(BaseModel):
    """The base of all that users define, in Python, YAML and REST with the same keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _no_booleans(cls, given: Any) -> Any:
        # `yes` and `on` of YAML would be a limit of one. As texts they are refused, each at its place.
        wrong = [name for name in _numbers(cls) if isinstance(given.get(name), bool)] if isinstance(given, dict) else []
        return {**given, **{name: str(given[name]).lower() for name in wrong}} if wrong else given


@cache
def _numbers(model: type[BaseModel]) -> frozenset[str]:
    """The fields that take a number, and neither a boolean nor whatever there is."""
    kinds = {name: _kinds(field.annotation) for name, field in model.model_fields.items()}
    return frozenset(name for name, found in kinds.items() if found & {int, float} and not found & {bool, Any, object})


def _kinds(annotation: Any) -> frozenset[Any]:
    """The types of which a value may be one."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return frozenset[Any]().union(*(_kinds(each) for each in get_args(annotation)))
    return frozenset({annotation})
