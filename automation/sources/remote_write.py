"""Samples out of Prometheus' remote-write requests, versions 1 and 2: snappy around protobuf.

https://prometheus.io/docs/specs/prw/remote_write_spec/
https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/

The messages that are sent, `WriteRequest` and `Request`, are read by hand: they have few fields that matter, and a
protobuf library would be larger than this and slower.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from automation.errors import InputError, MissingExtra
from automation.model.metric import Sample
from automation.sources import payload
from automation.sources.alertmanager import SUBJECT_LABELS

VERSION_1 = "prometheus.WriteRequest"
VERSION_2 = "io.prometheus.write.v2.Request"
"""The messages, as a `Content-Type` names them."""
STALE = 0x7FF0000000000002
"""The bits of the value that says: this series has ended."""
_MAX_LABELS = 100
_LONGEST_LABELS = 16_384
"""Characters of all labels of a series. In version 2, a few bytes can name a long text again and again."""
_AHEAD_SECONDS = 300.0

Value = int | memoryview
Field = tuple[int, Value]
"""A field: its number, and a number (of wire types 0, 1 and 5: its bits) or bytes."""


@dataclass(slots=True)
class Written:
    """What a request holds, and how many samples of it are not taken, by reason."""

    latest: float
    """A sample of a later time is not taken: all true ones after it would be out of order."""
    samples: list[Sample] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    """How many of the samples were taken in."""

    @property
    def understood(self) -> int:
        """How many samples were taken in, those among them that say that there is no value."""
        return self.taken + self.refused["stale"] + self.refused["not_finite"]

    @property
    def lost(self) -> dict[str, int]:
        """What was not taken in though it says something, by reason."""
        return {reason: count for reason, count in self.refused.items() if reason not in ("stale", "not_finite")}


def samples_of(body: bytes, max_bytes: int, now: float, message: str = VERSION_1) -> Written:
    """The samples of a request; raises InputError for what is none or is larger than `max_bytes`, MissingExtra."""
    written = Written(now + _AHEAD_SECONDS)
    read = _read_second if message == VERSION_2 else _read_first
    try:
        read(memoryview(unpacked(body, max_bytes)), written)
    except (IndexError, struct.error, UnicodeDecodeError):
        raise InputError(f"not a {message} of Prometheus: the protobuf is not valid") from None
    return written


def unpacked(body: bytes, max_bytes: int) -> bytes:
    """What a snappy block holds; its length, which stands at its beginning, is looked at before it is unpacked."""
    if importlib.util.find_spec("cramjam") is None:
        raise MissingExtra(feature="remote write", extra="prometheus")
    import cramjam

    try:
        size, _ = _varint(memoryview(body), 0)
    except IndexError:
        raise InputError("not snappy: the body is empty or cut off") from None
    if size > max_bytes:
        raise InputError(f"{size} bytes after unpacking, more than {max_bytes}; send fewer samples at once")
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError:
        raise InputError("the body is not snappy, in which remote write sends it") from None


def _read_first(message: memoryview, written: Written) -> None:
    for number, value in _fields(message):
        if number == 1:
            labels: dict[str, str] = {}
            points: list[memoryview] = []
            for kind, content in _fields(_bytes(value)):
                if kind == 1:
                    name, text = _label(_bytes(content))
                    labels[name] = text
                elif kind == 2:
                    points.append(_bytes(content))
                elif kind == 4:
                    written.refused["native_histogram"] += 1
            _take(labels, points, written)


def _read_second(message: memoryview, written: Written) -> None:
    symbols: list[str] = []
    series: list[memoryview] = []
    for number, value in _fields(message):
        if number == 4:
            symbols.append(bytes(_bytes(value)).decode())
        elif number == 5:
            series.append(_bytes(value))
    # Only when all symbols are known: protobuf promises no order.
    for one in series:
        references: list[int] = []
        points: list[memoryview] = []
        for number, value in _fields(one):
            if number == 1:
                references += _numbers(value)
            elif number == 2:
                points.append(_bytes(value))
            elif number in (3, 4):
                written.refused["native_histogram" if number == 3 else "exemplar"] += 1
        _take(_named(references, symbols), points, written)


def _named(references: Sequence[int], symbols: Sequence[str]) -> dict[str, str]:
    if len(references) % 2:
        raise IndexError
    pairs = zip(references[::2], references[1::2], strict=True)
    return {symbols[name]: symbols[text] for name, text in pairs}


def _take(labels: dict[str, str], points: Sequence[memoryview], written: Written) -> None:
    name = labels.pop("__name__", "")
    if not name or len(labels) > _MAX_LABELS:
        written.refused["no_name" if not name else "too_many_labels"] += len(points)
        return
    if sum(len(key) + len(text) for key, text in labels.items()) > _LONGEST_LABELS:
        written.refused["labels_too_long"] += len(points)
        return
    subject = next((labels[key] for key in SUBJECT_LABELS if labels.get(key)), "")
    for point in points:
        measured, moment = _point(point)
        if math.isnan(measured):
            stale = struct.unpack("<Q", struct.pack("<d", measured))[0] == STALE
            written.refused["stale" if stale else "not_finite"] += 1
            continue
        seconds = moment / 1000
        if not payload.FIRST_MOMENT <= seconds <= payload.LAST_MOMENT:
            written.refused["no_time"] += 1
            continue
        if seconds > written.latest:
            written.refused["future"] += 1
            continue
        written.samples.append(Sample(name=name, value=measured, subject=subject, labels=labels, time=seconds))


def _label(label: memoryview) -> tuple[str, str]:
    name = text = ""
    for number, value in _fields(label):
        if number == 1:
            name = bytes(_bytes(value)).decode()
        elif number == 2:
            text = bytes(_bytes(value)).decode()
    return name, text


def _point(sample: memoryview) -> tuple[float, int]:
    measured, moment = 0.0, 0
    for number, value in _fields(sample):
        if number == 1:
            measured = struct.unpack("<d", struct.pack("<Q", _number(value)))[0]
        elif number == 2:
            bits = _number(value)
            moment = bits - (1 << 64) if bits >> 63 else bits
    return measured, moment


def _fields(data: memoryview) -> Iterator[Field]:
    """The fields of a message; raises IndexError and struct.error where it is cut off."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value: Value
            value, place = _varint(data, place)
        elif kind in (1, 5):
            form, size = ("<Q", 8) if kind == 1 else ("<I", 4)
            (value,) = struct.unpack_from(form, data, place)
            place += size
        elif kind == 2:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise IndexError
            value = data[place : place + size]
            place += size
        else:
            raise IndexError
        yield key >> 3, value


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, place
    raise IndexError


def _numbers(value: Value) -> Iterator[int]:
    """A repeated number: one by one, or packed."""
    if isinstance(value, int):
        yield value
        return
    place = 0
    while place < len(value):
        number, place = _varint(value, place)
        yield number


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise IndexError
    return value


def _number(value: Value) -> int:
    if isinstance(value, int):
        return value
    raise IndexError
