"""The page as a reader's program sees it."""

import base64
import html.parser


class Page(html.parser.HTMLParser):
    """Text, elements and the cells of the tables of a page."""

    VOID = ("meta", "img", "source", "link", "br")

    def __init__(self, source):
        super().__init__()
        self.elements, self.pieces, self.open = [], [], []
        self.cells = []  # (row, attributes, text)
        self.row = -1
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.row += 1
        if tag == "td":
            self.cells.append([self.row, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.pieces.append(data)
        if "td" in self.open:
            self.cells[-1][2] += data

    @property
    def text(self):
        return " ".join("".join(self.pieces).split())

    def column(self, label):
        """By row: (value, text, tone) of the cells of a column with numbers."""
        return {
            row: (float(attrs["data-value"]), " ".join(text.split()), attrs["class"])
            for row, attrs, text in self.cells
            if attrs.get("data-label") == label and "data-value" in attrs
        }

    def images(self):
        """PNG bytes of every picture in the page."""
        found = []
        for tag, attrs in self.elements:
            for name in ("src", "srcset"):
                if tag in ("img", "source") and name in attrs:
                    head, _, data = attrs[name].partition(",")
                    assert head == "data:image/png;base64"
                    found.append(base64.b64decode(data))
        return found
