"""Read a board's HTML page back, with the parser of the standard library."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr"}


@dataclass
class Field:
    """A table field: its text, its attributes."""

    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """Tags with attributes, tables as fields, text by enclosing tag; complains about wrong nesting.

    What a table shows only on demand is passed over; `data` is the text of the JSON inside the page.
    """

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.texts = {}
        self.tables = []
        self.data = ""
        self._open = []
        self._in_data = False
        self._in_view = 0
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"<{tag}> has an attribute twice"
        self.tags.append((tag, attributes))
        if tag == "script":
            self._in_data = attributes.get("type") == "application/json"
        if tag == "span" and "view" in attributes.get("class", ""):
            self._in_view = len(self._open) + 1
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append(Field(attributes=attributes))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        if self._in_view == len(self._open):
            self._in_view = 0
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self._in_data and "script" in self._open:
            self.data += data
        if self._in_view:
            return
        for tag in set(self._open):
            self.texts.setdefault(tag, []).append(data)
        if "td" in self._open or "th" in self._open:
            cell = self.tables[-1][-1][-1]
            cell.text = " ".join((cell.text + data).split()) + (" " if data.endswith((" ", "\n")) else "")

    def all(self, tag):
        """Attributes of every element of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag):
        """All text inside elements of a name."""
        return "".join(self.texts.get(tag, []))

    def column(self, table, index):
        """The fields of a column without the heading."""
        return [row[index] for row in self.tables[table][1:]]
