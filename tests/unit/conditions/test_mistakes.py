"""What people are told about a text that is wrong: where, why, and what would fit."""

from __future__ import annotations

import pytest

from automation.conditions import compile_condition, compile_expression
from automation.errors import ConditionError, DefinitionError

VALUE = ("a value",)
MORE = ("an operator, AND, OR or the end",)
NO_HINT: tuple[str, ...] = ()

NO_SAMPLES = (
    "looks at the recent samples of a metric: it works in alert rules and in conditions of workflows, triggers and "
    "actions"
)
ROWS: list[tuple[str, int, str, tuple[str, ...]]] = [
    ("", 1, "the text is empty", VALUE),
    ("   ", 1, "the text is empty", VALUE),
    ("a >", 4, "the text ends too early", VALUE),
    ("a AND   ", 6, "the text ends too early", VALUE),
    ("a b", 3, "'b' does not fit here", MORE),
    ("a > 5 b", 7, "'b' does not fit here", MORE),
    ("and", 1, "'and' does not fit here", VALUE),
    ("a AND AND b", 7, "'AND' does not fit here", VALUE),
    ("a = > 5", 5, "'>' does not fit here", VALUE),
    ("a % % b", 5, "'%' does not fit here", VALUE),
    (f"a {'b' * 50}", 3, f"'{'b' * 40}...' does not fit here", MORE),
    # brackets
    ("(a > 5", 7, "the text ends too early", ("AND, OR or )",)),
    ("a > 5)", 6, "')' does not fit here", ("AND, OR or the end",)),
    ("a IN [1, 2", 11, "the text ends too early", ("AND, OR, a comma or ]",)),
    ("a IN [1 2]", 9, "'2' does not fit here", ("an operator, AND, OR, a comma or ]",)),
    ("a IN [1,]", 9, "']' does not fit here", VALUE),
    ("absent(a", 9, "the text ends too early", ("AND, OR, a comma or )",)),
    ("avg(", 5, "the text ends too early", VALUE),
    # paths
    ("x[", 3, "the text ends too early", ("an index or a string",)),
    ("x[y]", 3, "'y' does not fit here", ("an index or a string",)),
    ("x[-", 4, "the text ends too early", ("a whole number",)),
    ('x["a"', 6, "the text ends too early", ("]",)),
    ("x[1.5]", 3, "1.5 is not an index", ("a whole number or a string",)),
    ("x[1234567890]", 3, "1234567890 is not an index", ("a whole number or a string",)),
    ("x[5m]", 3, "5m is not an index", ("a whole number or a string",)),
    ("a..b", 2, "a '.' stands between the parts of a name, or between digits, as in 0.5", NO_HINT),
    ("a. > 5", 2, "a '.' stands between the parts of a name, or between digits, as in 0.5", NO_HINT),
    (".5 > a", 1, "a '.' stands between the parts of a name, or between digits, as in 0.5", VALUE),
    ("5. > a", 2, "a '.' stands between the parts of a name, or between digits, as in 0.5", NO_HINT),
    ("true.x", 5, "'.x' does not fit here", MORE),
    # signs of other languages
    ("a && b", 3, "'&&' is not in the language: use AND", NO_HINT),
    ("a & b", 3, "'&' is not in the language: use AND", NO_HINT),
    ("a || b", 3, "'||' is not in the language: use OR", NO_HINT),
    ("a | b", 3, "'|' is not in the language: use OR", NO_HINT),
    ("!a", 1, "'!' is not in the language: use NOT", NO_HINT),
    ("a => 5", 3, "'=>' is not in the language: use >=", NO_HINT),
    ("a =< 5", 3, "'=<' is not in the language: use <=", NO_HINT),
    ("a <> 5", 3, "'<>' is not in the language: use !=", NO_HINT),
    ("a === 5", 3, "'===' is not in the language: use ==", NO_HINT),
    ("a !== 5", 3, "'!==' is not in the language: use !=", NO_HINT),
    ("a =~ 'x'", 3, "'=~' is not in the language: use MATCHES", NO_HINT),
    ("a !~ 'x'", 3, "'!~' is not in the language: use NOT ... MATCHES", NO_HINT),
    ("a ~ 'x'", 3, "'~' is not in the language: use MATCHES", NO_HINT),
    ("a ≥ 5", 3, "'≥' is not in the language: use >=", NO_HINT),
    ("a ≤ 5", 3, "'≤' is not in the language: use <=", NO_HINT),
    ("a ≠ 5", 3, "'≠' is not in the language: use !=", NO_HINT),
    ("a − 5 > 1", 3, "'−' is not in the language: use the sign -", NO_HINT),
    ("a ** 2", 3, "'**' is not in the language: there is no power", NO_HINT),
    ("$a > 5", 1, "'$' is not in the language: a name is written without it", NO_HINT),
    ("{a}", 1, "'{' is not in the language: a list is written [a, b]", NO_HINT),
    ("a; b", 2, "';' is not in the language: use AND or OR between conditions", NO_HINT),
    ("a # why", 3, "'#' is not in the language: there are no comments", NO_HINT),
    ("a == `x`", 6, "x is a name without backticks, and a string is written in ' or \"", NO_HINT),
    ("a == `x", 6, "'`' is not in the language: a string is written in ' or \"", NO_HINT),
    ("a > 1 AND job:node:rate > 5", 14, "a name with ':' in it is written in backticks: `job:node:rate`", NO_HINT),
    ("a == “x”", 6, "'“' is not in the language: a string is written in ' or \"", NO_HINT),
    ("a == ‘x’", 6, "'‘' is not in the language: a string is written in ' or \"", NO_HINT),
    ("a ? b", 3, "the character '?' has no meaning here", NO_HINT),
    ("température > 5", 5, "the character 'é' has no meaning here: names have only the letters a to z", NO_HINT),
    ("+5 > a", 1, "a number is written without '+'", VALUE),
    # words of other languages
    ("a LIKE 'x'", 3, "'LIKE' is not in the language: use CONTAINS, STARTS WITH, ENDS WITH or MATCHES", NO_HINT),
    ("a BETWEEN 1 AND 5", 3, "'BETWEEN' is not in the language: write 1 <= x <= 5", NO_HINT),
    ("a equals 5", 3, "'equals' is not in the language: use ==", NO_HINT),
    ("a STARTS 'x'", 3, "'STARTS' is not in the language: write STARTS WITH", NO_HINT),
    ("a > 5 for 5m", 7, "'for' is not in the language: write AND duration > 5m", NO_HINT),
    ("(a has 5)", 4, "'has' is not in the language: use CONTAINS", NO_HINT),
    ("a IS 5", 6, "'5' does not fit after IS: use == to compare", ("NULL or NOT NULL",)),
    ("a IS None", 6, "'None' does not fit after IS: use == to compare", ("NULL or NOT NULL",)),
    ("a IS NOT 5", 10, "'5' does not fit here", ("NULL",)),
    ("a IS", 5, "the text ends too early", ("NULL or NOT NULL",)),
    ("a NOT > 5", 7, "'>' does not fit after NOT: write NOT before the whole comparison", ("IN",)),
    ("a NOT CONTAINS 5", 7, "'CONTAINS' does not fit after NOT: write NOT before the whole comparison", ("IN",)),
    ("a NOT", 6, "the text ends too early", ("IN",)),
    ("a == null", 6, "nothing compares with null: use IS NULL or IS NOT NULL", NO_HINT),
    ("a > 5 AND null != b", 11, "nothing compares with null: use IS NULL or IS NOT NULL", NO_HINT),
    # strings
    ("a == 'x", 6, "the string is not closed", ("a closing '",)),
    ('a == "x\\"', 6, "the string is not closed", ('a closing "',)),
    ("a == 'it's'", 10, "'s' does not fit here", MORE),
    # numbers and units
    ("a > 5min", 6, "there is no unit 'min': write 5m", NO_HINT),
    ("a > 5minutes", 6, "there is no unit 'minutes': write 5m", NO_HINT),
    ("a > 5Sec", 6, "there is no unit 'Sec': write 5s", NO_HINT),
    ("a > 2hrs", 6, "there is no unit 'hrs': write 2h", NO_HINT),
    ("a > 1h30min", 9, "there is no unit 'min': write 30m", NO_HINT),
    ("a > 10gb", 7, "there is no unit 'gb': write 10GB", NO_HINT),
    ("a > 10Gi", 7, "there is no unit 'Gi': write 10GiB", NO_HINT),
    ("a > 10k", 7, "there is no unit 'k': write 10KB", NO_HINT),
    ("a > 10milisecond", 7, "there is no unit 'milisecond': write 10ms", NO_HINT),
    ("a > 5M", 6, "there is no unit 'M': write 5m for minutes, 5MB for megabytes", NO_HINT),
    ("a > 5H", 6, "there is no unit 'H'; units are us, ms, s, m, h, d, w, B, KB to PB, KiB to PiB, and %", NO_HINT),
    (
        "a > 5furlong",
        6,
        "there is no unit 'furlong'; units are us, ms, s, m, h, d, w, B, KB to PB, KiB to PiB, and %",
        NO_HINT,
    ),
    ("a > 1h30", 7, "'30' needs a unit, as in 1h30m", NO_HINT),
    ("a > 1m.5", 7, "'.5' needs a unit, as in 1h30m", NO_HINT),
    ("a > 5m1h", 8, "the unit 'h' is out of order: write the larger unit first, as in 1h30m", NO_HINT),
    ("a > 5m5m", 8, "the unit 'm' is out of order: write the larger unit first, as in 1h30m", NO_HINT),
    ("a > 1h5KB", 8, "sizes have one unit, as in 10GB", NO_HINT),
    ("a > 5 m", 7, "a unit is written without a space: 5m", NO_HINT),
    ("a > 5 minutes", 7, "a unit is written without a space: 5m", NO_HINT),
    ("(a > 5 GB)", 8, "a unit is written without a space: 5GB", NO_HINT),
    ("a > 80 %", 5, "a percent is written without a space: 80%", NO_HINT),
    ("a > 80 % AND b", 5, "a percent is written without a space: 80%", NO_HINT),
    ("a > 1e999", 5, "the number is too large or too long", NO_HINT),
    ("a > 1e400", 5, "the number is too large or too long", NO_HINT),
    ("a > 1.5e308GB", 5, "the number is too large or too long", NO_HINT),
    (f"a > {'9' * 401}", 5, "the number is too large or too long", NO_HINT),
    # functions
    ("avgg(x, 5m) > 1", 1, "there is no function 'avgg'; here there is only absent", NO_HINT),
    ("a AND Abssent(x)", 7, "there is no function 'Abssent': did you mean absent?", NO_HINT),
    ("avg(latency, 10m) > 1", 1, f"avg() {NO_SAMPLES}", NO_HINT),
    ("a AND COUNT(x, 1m) >= 5", 7, f"count() {NO_SAMPLES}", NO_HINT),
    (
        "a AND COUNT(x == 1, 1m) >= 5",
        13,
        "count() takes the name of a metric first, as in count(latency, 10m); events are counted by a trigger of type "
        "count, and by a condition of a workflow without triggers that is nothing but count(...) >= N",
        NO_HINT,
    ),
    ("absent(heartbeat, 5m)", 1, f"absent() {NO_SAMPLES}", NO_HINT),
    ("a > 1 OR forecast(x, 1h, 1h) > 1", 10, f"forecast() {NO_SAMPLES}", NO_HINT),
    ("absent()", 1, "absent() takes a name, as in absent(heartbeat)", NO_HINT),
    ("absent(5)", 1, "absent() takes a name, as in absent(heartbeat)", NO_HINT),
    ("a AND absent(x + 1)", 7, "absent() takes a name, as in absent(heartbeat)", NO_HINT),
    # breaks become spaces, so that the pointer is at the column
    ("a > 5\n  AND\tb >", 16, "the text ends too early", VALUE),
]


@pytest.mark.parametrize(("text", "column", "reason", "expected"), ROWS, ids=[repr(row[0][:40]) for row in ROWS])
def test_a_mistake_is_explained(text: str, column: int, reason: str, expected: tuple[str, ...]) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)

    error = caught.value
    assert (error.column, error.reason, error.expected) == (column, reason, expected)
    shown, pointer = error.message.split("\n")[1:]
    assert pointer.index("^") == 2 + column - 1
    assert len(shown) == 2 + len(text)


def test_of_an_unknown_function_only_what_works_there_is_suggested() -> None:
    """Windows work only where samples are kept."""
    with pytest.raises(ConditionError, match=r"no function '__import__'; here there are absent, .* forecast\n"):
        compile_condition("__import__('os')", kept=3600)
    with pytest.raises(ConditionError, match=r"there is no function 'Sumn': did you mean sum\?"):
        compile_condition("a AND Sumn(x, 5m) > 1", kept=3600)
    with pytest.raises(ConditionError, match=r"there is no function 'forecasts': did you mean forecast\?"):
        compile_condition("forecasts(x, 5m) > 1", kept=3600)


def test_the_error_is_a_refused_definition() -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_expression("1 +")

    (problem,) = caught.value.problems
    assert problem.message == "the text ends too early"


def test_the_message_shows_the_place() -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition("cpu > 80 && up")

    assert str(caught.value) == (
        "column 10: '&&' is not in the language: use AND\n"
        "  cpu > 80 && up\n"
        "           ^"
    )  # fmt: skip


LIKE = "avg(latency, 10m)"
FORECAST = "a metric, the length of a window and for how long after now, as in forecast(disk_usage, 1h, 4h)"
WINDOWS = [
    ("avg(latency) > 1", 1, f"avg() takes a metric and the length of a window, as in {LIKE}"),
    ("a AND avg() > 1", 7, f"avg() takes a metric and the length of a window, as in {LIKE}"),
    ("avg(latency, 5m, 3) > 1", 1, f"avg() takes a metric and the length of a window, as in {LIKE}"),
    ("avg(a + 1, 5m) > 1", 5, f"avg() takes the name of a metric first, as in {LIKE}"),
    ("avg(event.data.x, 5m) > 1", 5, f"avg() takes the name of a metric first, as in {LIKE}"),
    ("avg(duration, 5m) > 1", 5, f"avg() takes the name of a metric first, as in {LIKE}"),
    (
        "count(x == 1, 1m) > 5",
        7,
        "count() takes the name of a metric first, as in count(latency, 10m); "
        "events are counted by a trigger of type count, and by a condition of a workflow without triggers that is "
        "nothing but count(...) >= N",
    ),
    ("avg(latency, 10) > 1", 14, f"the length of a window is a duration, as in {LIKE}"),
    ("avg(latency, 10GB) > 1", 14, f"the length of a window is a duration, as in {LIKE}"),
    ("avg(latency, 1e3) > 1", 14, f"the length of a window is a duration, as in {LIKE}"),
    ("avg(latency, 10%) > 1", 14, f"the length of a window is a duration, as in {LIKE}"),
    ("avg(latency, length) > 1", 14, f"the length of a window is a duration, as in {LIKE}"),
    ("absent(heartbeat, 5)", 19, "the length of a window is a duration, as in absent(heartbeat, 10m)"),
    ("avg(latency, 0s) > 1", 14, "the length of a window is more than 0 seconds"),
    ("forecast(disk, 1h) > 1", 1, f"forecast() takes {FORECAST}"),
    ("forecast(disk, 1h, 4) > 1", 20, "how far ahead is a duration, as in forecast(disk_usage, 1h, 4h)"),
    ("forecast(disk, 1h, 0s) > 1", 20, "how far ahead is more than 0 seconds"),
    ("forecast(disk, 1h, limit) > 1", 20, "how far ahead is a duration, as in forecast(disk_usage, 1h, 4h)"),
    (
        "forecast(disk, 2h, 1h) > 1",
        16,
        "a window of 2h reaches further back than the 3600 seconds for which samples are kept",
    ),
    (
        "anomaly(disk, 1h, 4h) > 1",
        1,
        "anomaly() takes a metric and the length of a window, as in anomaly(latency, 10m)",
    ),
    (
        "1 < avg(latency, 61m)",
        18,
        "a window of 61m reaches further back than the 3600 seconds for which samples are kept",
    ),
]


@pytest.mark.parametrize(("text", "column", "reason"), WINDOWS, ids=[row[0] for row in WINDOWS])
def test_a_mistake_in_a_window_is_explained(text: str, column: int, reason: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text, kept=3600)

    assert (caught.value.column, caught.value.reason) == (column, reason)


def test_a_window_over_a_metric_with_a_dot_says_how_it_is_written() -> None:
    with pytest.raises(ConditionError, match=r"a metric named node\.cpu is written `node.cpu`"):
        compile_condition("avg(node.cpu, 5m) > 1", kept=3600)
    compile_condition("avg(`node.cpu`, 5m) > 1", kept=3600)
