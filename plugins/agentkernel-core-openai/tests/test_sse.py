"""The event parser: any split of the bytes gives the same events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkernel_core_openai._sse import SSEParser


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"event: x\n\n", []),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"database: a\n\n", []),
        (b"data: a\n\ndata: cut", [b"a"]),
        (b"data: a\n\ndata: cut\n", [b"a"]),
        ("data: é\n\n".encode(), ["é".encode()]),
    ],
)
def test_a_stream_gives_its_events(stream: bytes, events: list[bytes]) -> None:
    assert SSEParser().feed(stream) == events


WHOLE = b": hi\r\ndata: one\r\n\r\ndata:two\ndata: three\n\nevent: x\ndata: \xc3\xa9\n\ndata: cut"


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_every_split_gives_the_same_events(cuts: list[int]) -> None:
    parser, found = SSEParser(), []
    bounds = [0, *sorted(cuts), len(WHOLE)]
    for start, end in itertools.pairwise(bounds):
        found += parser.feed(WHOLE[start:end])
    assert found == [b"one", b"two\nthree", b"\xc3\xa9"]


def test_a_long_line_in_many_pieces_is_joined_once() -> None:
    parser = SSEParser()
    parser.feed(b"data: ")
    for _ in range(200_000):  # quadratic work would not end within the test's time limit
        assert parser.feed(b"x" * 16) == []
    assert [len(event) for event in parser.feed(b"\n\n")] == [16 * 200_000]
