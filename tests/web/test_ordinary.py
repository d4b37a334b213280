"""Two readers of one request: what ``ordinary`` takes means the same to h11, and what h11 refuses it never takes."""

from __future__ import annotations

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finetune30.web.ordinary import head_of


def by_h11(data: bytes) -> h11.Request | None:
    """What the strict reader makes of it; None where that is no whole head, or no HTTP."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


_NAMES = [b"Host", b"host", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"Expect"]
_STRANGE = [b"Upgrade", b"X-A", b"X A", b"X-A ", b" X-A", b"", b"X\0A", b"X\xe9", b"(x)", b"X:A", b"Content-Length "]
NAMES = st.sampled_from([*_NAMES, *_STRANGE])
_LENGTHS = [b"0", b"5", b"+5", b"-1", b"0x5", b"5, 5", b"5 5", b"\xb2", b"9" * 18, b"9" * 40]
_WORDS = [b"localhost", b"chunked", b"close", b"keep-alive", b"Keep-Alive, x", b"100-continue", b"h2c", b"a: b"]
_BYTES = [b"", b" ", b"\t a \t", b"a\0b", b"a\x01b", b"a\x7fb", b"a\rb", b"a\nb", b"a\r\n b", b"\xff\xfe"]
VALUES = st.sampled_from([*_LENGTHS, *_WORDS, *_BYTES])
LINES = st.tuples(NAMES, st.sampled_from([b": ", b":", b" : ", b":\t ", b"", b"::"]), VALUES).map(b"".join)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"get", b"CONNECT", b"OPTIONS", b"G ET", b"", b"P\0ST", b"X" * 40])
TARGETS = st.sampled_from(
    [
        b"/",
        b"/a?b=c",
        b"/%00",
        b"/a b",
        b"http://localhost/",
        b"*",
        b"localhost:80",
        b"",
        b"/\xff",
        b"/a\x7f",
        b"/a#b",
        b"//",
    ]
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b"", b"HTTP/1.1 "])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Heads of all kinds, nearly right ones most often."""
    lines = (
        [b" ".join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))] if draw(st.booleans()) else [b"POST /p HTTP/1.1"]
    )
    lines += [b"Host: localhost"] if draw(st.booleans()) else []
    lines += draw(st.lists(LINES, max_size=4))
    end = draw(ENDS) if draw(st.booleans()) else b"\r\n"
    return end.join(lines) + end + draw(st.sampled_from([end, b"\r\n", b""])) + draw(st.sampled_from([b"", b"12345"]))


@settings(max_examples=1500, deadline=None)
@given(heads() | st.binary(max_size=80))
@example(b"POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12345")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n")
def test_s46_what_is_ordinary_means_the_same_to_h11(data: bytes) -> None:
    mine = head_of(data)
    if mine is None:
        return
    other = by_h11(data)
    assert other is not None
    assert mine.method.encode() == other.method
    assert mine.target == other.target
    assert mine.headers == list(other.headers)
    assert data[mine.end - 4 : mine.end] == b"\r\n\r\n"
    assert mine.length == int(dict(other.headers).get(b"content-length", b"0"))


def test_what_clients_send_is_ordinary() -> None:
    """Else all of this were for nothing."""
    for head in (
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /p?a=b HTTP/1.1\r\nHost: [::1]:8000\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}",
        b"DELETE /x HTTP/1.1\r\nhost:a\r\nUser-Agent: caf\xc3\xa9\t(x)\r\nEmpty:\r\n\r\n",
    ):
        assert head_of(head) is not None
