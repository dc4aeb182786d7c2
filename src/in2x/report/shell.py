"""The shell of every page: style, contents and sections in one file that loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from string import Template

from in2x.report.markup import Html, element, escape, join


def page(title: str, header: Html, sections: Sequence[tuple[str, str, Html]]) -> str:
    """Return the whole page; a section is (id, title, body), and the first one's id should be "results"."""
    links = [element("li", element("a", name, href=f"#{id_}")) for id_, name, _ in sections]
    contents = element("nav", element("ul", *links), class_="contents", aria_label="Contents")
    body = join([header, *(_section(*section) for section in sections)])
    files = resources.files("in2x.report")
    template = Template(files.joinpath("page.html").read_text(encoding="utf-8"))
    style = files.joinpath("style.css").read_text(encoding="utf-8")
    return template.substitute(title=escape(title), style=style, contents=contents, body=body)


def _section(id_: str, title: str, body: Html) -> Html:
    heading = element("h2", title, id=f"{id_}-title")
    return element("section", heading, body, id=id_, aria_labelledby=f"{id_}-title")
