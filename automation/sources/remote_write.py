"""Samples out of Prometheus' remote-write requests, version 1: snappy around protobuf.

https://prometheus.io/docs/specs/prw/remote_write_spec/

The one message that is sent, `WriteRequest`, is read by hand: it has four fields that matter, and a protobuf library
would be larger than this and slower.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from automation.errors import InputError, MissingExtra
from automation.model.metric import Sample
from automation.sources import payload
from automation.sources.alertmanager import SUBJECT_LABELS

VERSION_2 = "io.prometheus.write.v2.Request"
STALE = 0x7FF0000000000002
"""The bits of the value that says: this series has ended."""
_MAX_LABELS = 100
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


def samples_of(body: bytes, max_bytes: int, now: float) -> Written:
    """The samples of a request; raises InputError for what is none or is larger than `max_bytes`, MissingExtra."""
    written = Written(now + _AHEAD_SECONDS)
    try:
        for number, value in _fields(memoryview(unpacked(body, max_bytes))):
            if number == 1:
                _read_series(_bytes(value), written)
    except (IndexError, struct.error, UnicodeDecodeError):
        raise InputError("not a WriteRequest of Prometheus: the protobuf is not valid") from None
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


def _read_series(series: memoryview, written: Written) -> None:
    labels: dict[str, str] = {}
    points: list[tuple[float, int]] = []
    histograms = 0
    for number, value in _fields(series):
        if number == 1:
            name, text = _label(_bytes(value))
            labels[name] = text
        elif number == 2:
            points.append(_point(_bytes(value)))
        elif number == 4:
            histograms += 1
    if histograms:
        written.refused["native_histogram"] += histograms
    name = labels.pop("__name__", "")
    if not name or len(labels) > _MAX_LABELS:
        written.refused["no_name" if not name else "too_many_labels"] += len(points)
        return
    subject = next((labels[key] for key in SUBJECT_LABELS if labels.get(key)), "")
    for measured, moment in points:
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


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise IndexError
    return value


def _number(value: Value) -> int:
    if isinstance(value, int):
        return value
    raise IndexError
