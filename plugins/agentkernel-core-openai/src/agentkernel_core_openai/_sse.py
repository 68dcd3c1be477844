"""Server-sent events, as far as chat completions use them.

Source: WHATWG HTML, 9.2 "Server-sent events". Left out, since no chat endpoint sends them: bare CR
as a line end, a byte order mark, and the fields other than ``data``.
"""

from __future__ import annotations

__all__ = ["SSEParser"]


class SSEParser:
    """Cuts a byte stream, arriving in any pieces, into the data of its events.

    O(n) for n bytes, however they are split. An event that the stream's end cuts off is dropped, as
    the standard says. Not thread-safe.
    """

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # pieces of a line whose end has not come yet
        self._data: list[bytes] = []  # data lines of an event whose end has not come yet

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that ``piece`` completes, oldest first."""
        if b"\n" not in piece:
            self._rest.append(piece)
            return []
        if self._rest:
            self._rest.append(piece)
            piece = b"".join(self._rest)
            self._rest.clear()
        lines = piece.split(b"\n")
        last = lines.pop()
        if last:
            self._rest.append(last)
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            field = line[:-1] if line.endswith(b"\r") else line
            if field.startswith(b"data:"):
                data.append(field[6:] if field.startswith(b"data: ") else field[5:])
            elif field == b"data":
                data.append(b"")
            elif not field and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return events
