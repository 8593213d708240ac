"""`${...}` within values."""

from __future__ import annotations

import datetime
import enum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.conditions import compile_template
from automation.errors import DefinitionError, InputError

NAMES: dict[str, Any] = {
    "host": "web-1",
    "port": 80,
    "ratio": 0.5,
    "up": True,
    "tags": ["a", {"b": None}],
    "labels": {"zone": "eu", "é": 1.0},
    "event": {"data": {"n": 3}},
}


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        # alone: the value keeps its kind
        ("${port}", 80),
        ("${ratio}", 0.5),
        ("${up}", True),
        ("${tags}", ["a", {"b": None}]),
        ("${labels}", {"zone": "eu", "é": 1.0}),
        ("${event.data.n * 2 + 1}", 7),
        ("${ port > 79 AND up }", True),
        ("${absent(nothing)}", True),
        ("${null}", None),
        ("${'}'}", "}"),
        ('${"\\"}"}', '"}'),
        # in text
        ("https://${host}:${port}/", "https://web-1:80/"),
        (" ${port}", " 80"),
        ("${port}${port}", "8080"),
        ("r=${ratio}", "r=0.5"),
        ("f=${2.0}", "f=2.0"),
        ("up=${up}, down=${NOT up}", "up=true, down=false"),
        ("t=${tags}", 't=["a",{"b":null}]'),
        ("l=${labels}", 'l={"zone":"eu","é":1.0}'),
        ("n=${null}", "n=null"),
        ("$ ${port} $", "$ 80 $"),
        ("{${port}}", "{80}"),
        # escapes
        ("$${port}", "${port}"),
        ("a $${b} ${port} $${c}", "a ${b} 80 ${c}"),
        ("$${", "${"),
        ("$port {x} $", "$port {x} $"),
        ("", ""),
        # within other values
        ({"a": ["${port}", {"b": "${host}"}], "c": 1}, {"a": [80, {"b": "web-1"}], "c": 1}),
        (("${port}", 1), [80, 1]),
        (MappingProxyType({"a": "${port}"}), {"a": 80}),
        ({1: "${port}"}, {1: 80}),
        (5, 5),
        (None, None),
        (True, True),
    ],
)
def test_a_template_renders_to(value: Any, rendered: Any) -> None:
    result = compile_template(value).render(NAMES)

    assert result == rendered
    assert type(result) is type(rendered)


def test_values_that_are_not_json_are_text_too() -> None:
    names = {"day": datetime.date(2026, 1, 2), "all": [datetime.date(2026, 1, 2)], "m": [MappingProxyType({"a": 1})]}
    template = compile_template("${day} ${all} ${m}")

    assert template.render(names) == '2026-01-02 ["2026-01-02"] [{"a":1}]'
    assert compile_template("=${c}").render({"c": Colour.RED}) == "=red"


def test_a_constant_template_is_its_value() -> None:
    value = {"a": [1, "x", {"b": "$5"}]}
    template = compile_template(value)

    assert template.constant
    assert template.render({}) is value
    assert not compile_template({"a": "$${x}"}).constant
    assert not compile_template("${1}").constant
    assert not compile_template("${secret:A}").constant


def test_what_is_constant_within_a_template_is_shared() -> None:
    value = {"a": {"b": [1]}, "c": "${port}"}

    assert compile_template(value).render(NAMES)["a"] is value["a"]


def test_a_template_is_not_changed_by_rendering() -> None:
    template = compile_template({"a": ["${port}"]})

    template.render(NAMES)["a"].append(1)

    assert template.render(NAMES) == {"a": [80]}


def test_names_and_where_they_are_read() -> None:
    template = compile_template({"url": "http://${host}:${event.data.port + base}", "all": ["${event.data}"]})

    assert template.names == {"host", "event", "base"}
    assert template.paths == {"host", "event.data.port", "event.data", "base"}
    assert template.reads == (
        ("url", "host"),
        ("url", "base"),
        ("url", "event.data.port"),
        ("all[0]", "event.data"),
    )


# --- secrets --------------------------------------------------------------------------------------------------------


def test_secrets_stay_as_they_are_written_without_a_resolver() -> None:
    template = compile_template({"token": "${secret:API/token-1}", "header": "Bearer ${ secret: B }", "n": "${port}"})

    assert template.secrets == {"API/token-1", "B"}
    assert template.names == {"port"}
    assert template.render(NAMES) == {
        "token": "${secret:API/token-1}",
        "header": "Bearer ${ secret: B }",
        "n": 80,
    }


def test_secrets_are_resolved_by_name() -> None:
    template = compile_template({"token": "${secret:A}", "header": "Bearer ${secret:B} ${host}"})

    rendered = template.render(NAMES, {"A": "1", "B": "${host}"}.__getitem__)

    assert rendered == {"token": "1", "header": "Bearer ${host} web-1"}


def test_a_value_that_looks_like_a_secret_is_not_one() -> None:
    template = compile_template("${note}")

    assert template.render({"note": "${secret:A}"}, lambda name: "leaked") == "${secret:A}"


def test_a_resolver_may_refuse() -> None:
    with pytest.raises(KeyError):
        compile_template("${secret:A}").render({}, {}.__getitem__)


# --- what is missing, what is wrong ---------------------------------------------------------------------------------


def test_all_missing_names_are_listed_with_their_place() -> None:
    template = compile_template(
        {"parameters": {"url": "http://${host}:${event.port}", "n": ["${count + extra}"]}, "x": "${up}"}
    )

    with pytest.raises(InputError) as caught:
        template.render({"up": True, "host": None, "extra": 1})

    assert caught.value.missing == (
        ("parameters.url", "host"),
        ("parameters.url", "event.port"),
        ("parameters.n[0]", "count"),
    )
    assert str(caught.value) == (
        "no value for\n  parameters.url: host, which is null\n  parameters.url: event.port\n  parameters.n[0]: count"
    )


NULLS: dict[str, Any] = {"a": None, "b": {"c": None, "d": [1, None]}}


@pytest.mark.parametrize("path", ["a", "b.c", "b.d[1]", "b.d[-1]"])
def test_a_null_that_is_there_is_passed_on_and_kept_out_of_texts(path: str) -> None:
    value = f"${{{path}}}"

    assert compile_template({"x": value, "y": [value]}).render(NULLS) == {"x": None, "y": [None]}
    for whole in (value, {"x": f"<{value}>"}):
        with pytest.raises(InputError):
            compile_template(whole).render(NULLS)


@pytest.mark.parametrize("path", ["z", "a.x", "b.z", "b.c.x", "b.d[2]", "b.d.x", "b[0]", "a + 1"])
def test_what_is_not_there_is_no_null(path: str) -> None:
    with pytest.raises(InputError):
        compile_template({"x": f"${{{path}}}"}).render(NULLS)


def test_an_expression_without_a_value_is_missing_even_if_its_names_are_there() -> None:
    with pytest.raises(InputError) as caught:
        compile_template("${ a / 0 }").render({"a": 1})

    assert caught.value.missing == (("", "a / 0 is unknown"),)
    assert str(caught.value) == "no value for\n  a / 0 is unknown"


def test_a_missing_name_that_the_result_does_not_need_is_no_matter() -> None:
    assert compile_template("${up OR nothing}").render(NAMES) is True


def test_all_problems_are_found_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_template(
            {
                "a": "x ${b && c} ${d >}",
                "b": ["${", "${}", "${'}", "${secret:}", "${secret:no spaces}"],
                "${k}": 1,
                "c": "${avg(x, 5m)}",
            },
            path="parameters",
        )

    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        ("parameters.a", "column 7: '&&' is not in the language: use AND"),
        ("parameters.a", "column 18: the text ends too early; expected a value"),
        ("parameters.b[0]", "column 1: the '${' is not closed with '}'"),
        ("parameters.b[1]", "column 3: the text is empty; expected a value"),
        ("parameters.b[2]", "column 1: the '${' is not closed with '}'"),
        ("parameters.b[3]", "column 3: '' is not the name of a secret"),
        ("parameters.b[4]", "column 3: 'no spaces' is not the name of a secret"),
        ("parameters.${k}", "a key cannot be computed: write ${...} in a value"),
        (
            "parameters.c",
            "column 3: avg() looks at the recent samples of a metric: it works in alert rules and in conditions "
            "of workflows, triggers and actions",
        ),
    ]
    assert str(caught.value).startswith("template was refused, 9 problems:")


def test_a_value_that_is_nested_too_deep_is_refused() -> None:
    value: Any = "x"
    for _ in range(2000):
        value = [value]

    with pytest.raises(DefinitionError, match="nested too deep; at most 100 levels are allowed"):
        compile_template({"a": value})


def test_a_hundred_levels_are_allowed() -> None:
    value: Any = "${port}"
    for _ in range(100):
        value = [value]

    rendered = compile_template(value).render(NAMES)
    for _ in range(100):
        (rendered,) = rendered

    assert rendered == 80


@given(st.text(alphabet="${}'\" a\\", max_size=20))
def test_any_text_renders_or_is_refused(text: str) -> None:
    try:
        template = compile_template(text)
    except DefinitionError:
        assert "${" in text
    else:
        assert template.constant == ("${" not in text)
        if template.constant:
            assert template.render({}) is text


@given(st.text(), st.text())
def test_text_around_a_hole_is_kept(before: str, after: str) -> None:
    before, after = before.replace("$", ""), after.replace("$", "")

    assert compile_template(f"{before}${{x}}{after}-").render({"x": "|"}) == f"{before}|{after}-"
