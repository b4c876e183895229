"""A page in one file: its style, its tables, its plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from starnet.atomic import replacing

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; margin: .6em 0; }
th, td { padding: .15em .9em .15em 0; text-align: right; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid #999; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
img.plot { max-width: 100%; }
"""


def write_page(path: str | Path, title: str, body: Iterable[str], style: str = "") -> None:
    """Write a page.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    title : str
        Plain text.
    body : iterable of str
        HTML.
    style : str
        CSS beside that of all pages.
    """
    page = (
        f"<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{_STYLE}{style}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")


def table(head: list[str], rows: list[list[str]], links: Mapping[str, str] | None = None) -> str:
    """A table of plain text; `links` are the addresses to which cells of these texts lead."""

    def text(cell: str) -> str:
        return f"<a href='{escape(links[cell])}'>{escape(cell)}</a>" if links and cell in links else escape(cell)

    def line(cells: list[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{text(cell)}</{kind}>" for cell in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def plot(url: str) -> str:
    """A plot, from its data URL."""
    return f"<p><img class=plot src='{url}' alt=''></p>"
