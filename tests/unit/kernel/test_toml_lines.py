"""The line of a key in TOML text: found, or None, but never a wrong one."""

from __future__ import annotations

import pytest

from agentkernel.kernel.toml_lines import TomlLines

EVERYTHING = '''\
top = 1 # a comment with [brackets] and "quotes
"quo.ted" = "a = b"
'lit eral'.x = [1, [2, "]"], { inner = 3 },
  # ] a comment
]
text = """
[not_a_table]
key = "no key" \\""" still text
"""
raw = \'\'\'
[no]
\'\'\'\'
after.dotted.deep = 1979-05-27T07:32:00Z
[ a . "b c" ]
inline = { x = { y = "}" }, z = [ "," ] }
"esc\\u00e9\\"d" = true
[[rows]]
column = 1
[a.second]
last = "\\\\"
end = 1'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("top", 1),
        (("quo.ted",), 2),
        ("lit eral/x", 3),
        ("text", 6),
        ("raw", 10),
        ("after", 13),
        ("after/dotted/deep", 13),
        ("a/b c", 14),
        ("a/b c/inline", 15),
        ("a/b c/inline/x/y", 15),
        ("a/b c/inline/z", 15),
        ('a/b c/escé"d', 16),
        ("a/b c/not there", 14),
        ("rows", 17),
        ("rows/column", 17),
        ("a/second/last", 20),
        ("a/second/end", 21),
        ("not_a_table/key", None),
        ("inner", None),
    ],
)
def test_line_of_a_key_is_found(path: str | tuple[str, ...], line: int | None) -> None:
    keys = tuple(path.split("/")) if isinstance(path, str) else path
    assert TomlLines(EVERYTHING).line(keys) == line


@pytest.mark.parametrize(
    "text", ["a = 1\nb", "a = 1\n[b", "a = 1\n= 2\nc = 3", "a = 1\nb = {c", ""]
)
def test_text_that_is_no_toml_gives_no_line_rather_than_a_wrong_one(text: str) -> None:
    lines = TomlLines(text)
    assert lines.line(("a",)) == (1 if text else None)
    assert lines.line(("c",)) is None


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_count_with_any_line_end(newline: str) -> None:
    assert TomlLines(newline.join(["# x", "[a]", "b = 1", "c = 2"])).line(("a", "c")) == 4
