"""Where a key stands in a TOML file: the line number that the parser does not keep."""

from __future__ import annotations

import contextlib
import re

__all__ = ["TomlLines"]

_KeyPath = tuple[str, ...]

_BARE_KEY = re.compile(r"[^\s.=\[\]{}\"'#,]+")
_BASIC_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL_STRING = re.compile(r"'[^'\n]*'")
_MULTILINE_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}(?!")', re.DOTALL)
_MULTILINE_LITERAL = re.compile(r"'''.*?'{3,5}(?!')", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n#]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")


class _Unreadable(Exception):
    """The scanner met something it does not know. What it found before stays."""


class TomlLines:
    """The line of every key of a TOML document.

    Expects text that a TOML parser has accepted. Where the scanner is at a loss it stops, so a line
    is either right or missing. Keys inside arrays, arrays of tables included, have no line of their
    own.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[_KeyPath, int] = {}
        with contextlib.suppress(_Unreadable):
            self._document()

    def line(self, path: _KeyPath) -> int | None:
        """Line (from 1) of the key at ``path``, else of the nearest table around it, else None."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return None

    def _document(self) -> None:
        table: _KeyPath | None = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text.startswith("[[", self._at):
                self._header(2)
                table = None
            elif self._text[self._at] == "[":
                table = self._header(1)
            else:
                self._pair(table)

    def _header(self, brackets: int) -> _KeyPath:
        line = self._line()
        self._at += brackets
        path = self._key()
        self._expect("]" * brackets)
        self._record(path, len(path), line)
        return path

    def _pair(self, table: _KeyPath | None) -> None:
        line = self._line()
        key = self._key()
        self._expect("=")
        if table is None:
            self._value(None)
            return
        self._record(table + key, len(key), line)
        self._value(table + key)

    def _record(self, path: _KeyPath, levels: int, line: int) -> None:
        """Note ``path`` and, for dotted keys, the tables that its last ``levels`` parts open."""
        for length in range(len(path), len(path) - levels, -1):
            self._lines.setdefault(path[:length], line)

    def _key(self) -> _KeyPath:
        parts = [self._key_part()]
        while self._peek() == ".":
            self._at += 1
            parts.append(self._key_part())
        return tuple(parts)

    def _key_part(self) -> str:
        first = self._peek()
        if first == '"':
            return _unescaped(self._take(_BASIC_STRING))
        if first == "'":
            return self._take(_LITERAL_STRING)[1:-1]
        return self._take(_BARE_KEY)

    def _value(self, path: _KeyPath | None) -> None:
        first = self._peek()
        if first == "[":
            self._array()
        elif first == "{":
            self._inline_table(path)
        elif first in "\"'":
            self._string()
        else:
            self._take(_SCALAR)

    def _string(self) -> None:
        for opening, pattern in (
            ('"""', _MULTILINE_BASIC),
            ("'''", _MULTILINE_LITERAL),
            ('"', _BASIC_STRING),
            ("'", _LITERAL_STRING),
        ):
            if self._text.startswith(opening, self._at):
                self._take(pattern)
                return

    def _array(self) -> None:
        self._at += 1
        while not self._closed("]"):
            self._value(None)

    def _inline_table(self, path: _KeyPath | None) -> None:
        self._at += 1
        while not self._closed("}"):
            self._pair(path)

    def _closed(self, bracket: str) -> bool:
        """Skip blanks and a comma; whether ``bracket`` came, which is skipped too."""
        self._skip(_BLANK)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_BLANK)
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        return False

    def _peek(self) -> str:
        """The next character that is no space."""
        at = self._skip(_SPACE)
        if at >= len(self._text):
            raise _Unreadable
        return self._text[at]

    def _expect(self, text: str) -> None:
        self._skip(_SPACE)
        if not self._text.startswith(text, self._at):
            raise _Unreadable
        self._at += len(text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _Unreadable
        self._at = match.end()
        return match[0]

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the patterns to skip match nothing as well"
        self._at = match.end()
        return self._at

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1


_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def _unescaped(quoted: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED.get(code, code)

    return _ESCAPE.sub(replace, quoted[1:-1])
