from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from automation.errors import ConfigurationError, InputError, NotFound
from automation.security.secrets import Redactor, Secrets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


def put(folder: Path, name: str, content: bytes, mode: int = 0o600) -> Path:
    path = folder / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"hunter22", "hunter22"), (b"hunter22\n", "hunter22"), (b"a b\r\n", "a b"), (b"\n x\n\n", "\n x\n")],
)
def test_a_secret_is_its_file_without_the_last_line_break(folder, content, value):
    put(folder, "slack.token", content)

    assert Secrets(folder).get("slack.token") == value


def test_a_new_value_holds_at_once(folder):
    secrets = Secrets(folder)
    put(folder, "TOKEN", b"old-value")
    secrets.get("TOKEN")
    put(folder, "TOKEN", b"new-value")

    assert secrets.get("TOKEN") == "new-value"
    assert secrets.redactor.redact("old-value new-value") == "*** ***"


def test_an_unknown_secret_says_where_it_would_be(folder):
    put(folder, "OTHER", b"x")

    with pytest.raises(NotFound) as caught:
        Secrets(folder).get("TOKEN")

    assert caught.value.message == (
        f"there is no secret 'TOKEN'; write it to {folder}/TOKEN with mode 0600 (known: OTHER)"
    )
    assert (caught.value.kind, caught.value.name) == ("secret", "TOKEN")


def test_without_a_folder_there_are_none(tmp_path):
    secrets = Secrets(tmp_path / "none")

    assert secrets.names() == ()
    with pytest.raises(NotFound, match="known: none"):
        secrets.get("TOKEN")


@pytest.mark.parametrize("name", ["", "../TOKEN", "a/b", ".hidden", "1st", "a b", "a\n", "ä", "x" * 201, "a\0"])
def test_a_name_cannot_lead_elsewhere(folder, name):
    put(folder.parent, "TOKEN", b"outside")

    with pytest.raises(InputError, match="is not a name of a secret"):
        Secrets(folder).get(name)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620, 0o610])
def test_a_file_open_to_others_is_refused(folder, mode):
    path = put(folder, "TOKEN", b"hunter22", mode)

    with pytest.raises(ConfigurationError) as caught:
        Secrets(folder).get("TOKEN")

    assert caught.value.message == (
        f"the secret 'TOKEN' is refused: {path} has mode {mode:04o}, so that others may read or change it; "
        f"run: chmod 600 {path}"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"x" * 65_537, "is larger than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(folder, content, message):
    put(folder, "TOKEN", content)

    with pytest.raises(ConfigurationError, match=f"the secret 'TOKEN' is refused: .*TOKEN {message}"):
        Secrets(folder).get("TOKEN")


def test_what_is_not_a_file_is_refused(folder):
    os.mkfifo(folder / "PIPE", 0o600)
    (folder / "FOLDER").mkdir()
    (folder / "LOOP").symlink_to(folder / "LOOP")

    with pytest.raises(ConfigurationError, match="PIPE is not a regular file"):
        Secrets(folder).get("PIPE")
    with pytest.raises(ConfigurationError, match="FOLDER is not a regular file"):
        Secrets(folder).get("FOLDER")
    with pytest.raises(ConfigurationError, match=r"the secret 'LOOP' cannot be read: .*LOOP: Too many levels"):
        Secrets(folder).get("LOOP")


def test_the_names_are_listed_without_hidden_files(folder):
    for name in ("b", "a", ".swp"):
        put(folder, name, b"x")

    assert Secrets(folder).names() == ("a", "b")


def redactor(*values: str) -> Redactor:
    redactor = Redactor()
    for value in values:
        redactor.add(value)
    return redactor


@pytest.mark.parametrize(
    ("values", "text", "hidden"),
    [
        (["hunter22"], "login hunter22 failed: hunter22", "login *** failed: ***"),
        (["hunter22"], "nothing here", "nothing here"),
        ([], "hunter22", "hunter22"),
        (["abcd", "cdef"], "abcdef!", "***!"),
        (["abcd", "efgh"], "abcdefgh", "***"),
        (["abcd", "abcdefgh"], "abcdefgh abcd", "*** ***"),
        (["aaaa"], "aaaaaaab", "***b"),
        (["abc"], "abc", "abc"),
        (["  abc  "], "  abc  ", "  abc  "),
        (["hunter22\n"], "hunter22", "***"),
    ],
)
def test_secret_values_are_hidden(values, text, hidden):
    assert redactor(*values).redact(text) == hidden


secret_values = st.text(min_size=4, max_size=30).filter(lambda text: len(text.strip()) >= 4 and "*" not in text)
utf8 = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=30).filter(
    lambda text: len(text.strip()) >= 4 and "*" not in text
)


@given(st.lists(secret_values, min_size=1, max_size=4), st.data())
@example(["0000", "0001"], None)
def test_no_secret_is_left_in_a_text(values, data):
    text = "0000001 0001" if data is None else "".join(data.draw(st.lists(st.sampled_from(values) | st.text())))

    redacted = redactor(*values).redact(text)

    for value in values:
        assert value not in redacted


@given(st.text(), st.lists(secret_values, max_size=3))
def test_a_text_without_a_secret_is_left_alone(text, values):
    hide = redactor(*values)
    if not any(value in text for value in hide._values):
        assert hide.redact(text) == text
    assert hide.redact(hide.redact(text)) == hide.redact(text)


@given(utf8)
def test_a_secret_is_found_in_the_forms_it_takes(value):
    hide = redactor(value)
    plain = value.strip()

    assert plain not in hide.redact(value)
    for form in (
        json.dumps({"key": value}),
        msgspec.json.encode({"key": plain}).decode(),
        repr(plain)[1:-1],
        f"https://x/?token={quote(plain, safe='')}",
    ):
        assert "***" in hide.redact(form)


def test_values_are_hidden_wherever_they_stand_in_a_structure():
    value = {"a": ["hunter22", 1, None, True, 1.5], "hunter22": {"b": ("x hunter22",)}, "pin": 4711, "not": 47}

    assert redactor("hunter22", "4711").redact_value(value) == {
        "a": ["***", 1, None, True, 1.5],
        "***": {"b": ["x ***"]},
        "pin": "***",
        "not": 47,
    }


def test_a_redactor_never_shows_what_it_hides():
    assert not re.search("hunter22", repr(redactor("hunter22")))
