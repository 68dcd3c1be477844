"""Links of the README lead to files, and every decision is in their index."""

from __future__ import annotations

import re

from checkout import ROOT, files

_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def test_links_of_the_readme_lead_to_files() -> None:
    links = _LINK.findall((ROOT / "README.md").read_text("utf-8"))
    assert links
    assert not [link for link in links if not (ROOT / link).is_file()]


def test_every_decision_is_in_their_index() -> None:
    index = (ROOT / "docs/decisions/index.md").read_text("utf-8")
    records = [path.name for path in files("docs/decisions/*.md") if path.name != "index.md"]
    assert records
    assert not [record for record in records if f"({record})" not in index]
