"""Page renderer: one file, no network access, escaped text."""

import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from explorer.report.pages.html import Block, Grid, Heading, Paragraph, Plot, Tag, render_page

NASTY = "</script><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\""


class Outline(HTMLParser):
    """Parser that collects tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag not in {"script", "style"}:
            self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def page(*blocks: Block, title: str = "A title", lead: str = "A lead.") -> str:
    return render_page(title=title, lead=lead, blocks=blocks)


def figure(name: str = "dots") -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name=name))


def test_blocks_appear_in_order() -> None:
    text = page(Heading("One"), Paragraph("Two"), Heading("Three", level=3), Grid(["Four"], [["Five"]], caption="Six"))
    expected = ["One", "Two", "Three", "Six", "Four", "Five"]
    assert [word for word in "".join(Outline(text).texts).split() if word in expected] == expected


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([Heading(NASTY)], id="heading"),
        pytest.param([Paragraph(NASTY)], id="paragraph"),
        pytest.param([Grid([NASTY], [[NASTY]], caption=NASTY)], id="table"),
        pytest.param([Grid(["verdict"], [[Tag(NASTY)]])], id="tag"),
    ],
)
def test_text_is_escaped(blocks: list[Block]) -> None:
    outline = Outline(page(*blocks, title=NASTY, lead=NASTY))
    assert (outline.count("script"), outline.count("img")) == (0, 0)
    assert "alert('x')" in "".join(outline.texts)


def test_text_in_a_plot_cannot_close_its_script() -> None:
    clean, nasty = (Outline(page(Plot(figure(text), caption=text))) for text in ("dots", NASTY))
    assert [tag for tag, _ in nasty.tags] == [tag for tag, _ in clean.tags]


def test_plotly_is_embedded_once_for_any_number_of_plots() -> None:
    library = re.compile(r"plotly\.js v\d")
    assert [len(library.findall(page(*[Plot(figure())] * n))) for n in (0, 1, 3)] == [0, 1, 1]


def test_the_page_loads_no_external_resources() -> None:
    tags = Outline(page(Plot(figure()), Grid(["a"], [["b"]]))).tags
    addresses = [attributes[key] for _, attributes in tags for key in ("src", "href") if key in attributes]
    assert addresses == ["data:,"]
    policy = next(a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_equal_blocks_give_equal_pages() -> None:
    assert page(Plot(figure()), Plot(figure())) == page(Plot(figure()), Plot(figure()))


def test_every_plot_has_its_own_id() -> None:
    outline = Outline(page(Plot(figure()), Paragraph("between"), Plot(figure())))
    ids = [a["id"] for tag, a in outline.tags if tag == "div" and "id" in a]
    assert len(set(ids)) == len(ids) == 2


def test_only_number_columns_are_right_aligned() -> None:
    outline = Outline(page(Grid(["name", "energy"], [["CNN1", "22.5"], ["CNN2", "-"]])))
    assert [a.get("class") for tag, a in outline.tags if tag in {"th", "td"}] == [None, "number"] * 3


def test_sentence_cells_repeat_their_header_on_narrow_pages() -> None:
    outline = Outline(page(Grid(["verdict", "why"], [[Tag("agrees", "good"), "a sentence " * 8]])))
    assert [a["data-label"] for tag, a in outline.tags if tag == "td"] == ["verdict", "why"]
    assert [a.get("class") for tag, a in outline.tags if tag == "table"] == ["text"]


def test_a_row_of_the_wrong_length_raises() -> None:
    with pytest.raises(ValueError, match="zip"):
        page(Grid(["a", "b"], [["1", "2", "3"]]))


def test_a_page_without_blocks_has_title_and_lead() -> None:
    texts = "".join(Outline(page()).texts)
    assert "A title" in texts
    assert "A lead." in texts


def test_a_number_with_an_interval_is_aligned_as_a_number() -> None:
    page = render_page(title="t", lead="l", blocks=[Grid(["EDP"], [["1.41 (1.19 to 1.68)"], ["2 (1 to 3)"]])])

    assert page.count('class="number"') == 3  # the header and both cells
