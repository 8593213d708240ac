"""Evaluating PromQL on a Prometheus."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from automation.errors import InputError
from automation.infrastructure.web import Web, get

Query = Annotated[str, Field(min_length=1, max_length=20_000)]
MaxSeries = Annotated[int, Field(ge=1, le=100_000)]


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None


class _Matrix(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] = msgspec.field(default_factory=list)


class _Result(msgspec.Struct):
    kind: str = msgspec.field(name="resultType")
    result: msgspec.Raw


class _Answer(msgspec.Struct):
    data: _Result
    status: Literal["success"] = "success"


async def evaluate(web: Web, query: str, at: float, max_series: int) -> list[tuple[dict[str, str], float]]:
    """The labels and the value of each series that a query gives at a moment, in seconds since the epoch.

    NaN and infinity are values too. Raises TryLater when Prometheus gives no answer or refuses the query, InputError
    for an answer that is no vector and no scalar, or has more series than `max_series`.
    """
    content = await get(web, {"query": query, "time": f"{at:.3f}"}, "/api/v1/query")
    try:
        return _rows(content, max_series)
    except InputError as error:
        raise InputError(f"{web.place}: {error.message}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{web.place}: not an answer of Prometheus: {error}") from None


async def evaluate_range(
    web: Web, query: str, since: float, until: float, step: float, max_series: int
) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
    """The labels of each series, and its time and value at each step between two moments, both included.

    Raises as `evaluate` does.
    """
    span = {"query": query, "start": f"{since:.3f}", "end": f"{until:.3f}", "step": f"{step:g}"}
    content = await get(web, span, "/api/v1/query_range")
    try:
        data = msgspec.json.decode(content, type=_Answer).data
        if data.kind != "matrix":
            raise InputError(f"the query gives a {data.kind[:20]} and not a matrix")
        found = msgspec.json.decode(data.result, type=list[_Matrix])
        if len(found) > max_series:
            raise InputError(f"the query gives {len(found)} series, more than {max_series}; narrow it")
        return [(series.metric, [(at, float(value)) for at, value in series.values]) for series in found]
    except InputError as error:
        raise InputError(f"{web.place}: {error.message}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{web.place}: not an answer of Prometheus: {error}") from None


def _rows(content: bytes, max_series: int) -> list[tuple[dict[str, str], float]]:
    data = msgspec.json.decode(content, type=_Answer).data
    if data.kind == "scalar":
        return [({}, _number(msgspec.json.decode(data.result, type=tuple[float, str])))]
    if data.kind != "vector":
        raise InputError(f"the query gives a {data.kind[:20]}; write one that gives a vector or a scalar")
    found = msgspec.json.decode(data.result, type=list[_Series])
    if len(found) > max_series:
        raise InputError(f"the query gives {len(found)} series, more than max_series ({max_series}); narrow it")
    return [(series.metric, _number(series.value)) for series in found]


def _number(pair: tuple[Any, str] | None) -> float:
    if pair is None:
        raise InputError("a series has no value: native histograms are not read")
    return float(pair[1])
