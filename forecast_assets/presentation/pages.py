"""Pages in one file of HTML that needs nothing else: their style, and sections, tables and pictures on them.

What belongs here: the form that all pages share. What does not: what stands on any of them.

The same parts give the same bytes. No script, and nothing is fetched.
"""

import base64
from collections.abc import Sequence
from html import escape
from typing import Final

from forecast_assets.presentation.text import is_number

_STYLE: Final = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #24323f; max-width: 960px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.note { color: #55636f; } p.warning { border-left: 4px solid #d55e00; padding-left: .8rem; }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #d4d9de; text-align: left; vertical-align: top; }
th { vertical-align: bottom; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number, td:first-child { white-space: nowrap; } th.number { min-width: 4.5em; }
tr.first td { font-weight: 600; }
tr.above td { border-bottom: 0; padding-bottom: 0; }
tr.below td:first-child { white-space: normal; padding-bottom: .5rem; }
""".strip()


class Html(str):
    """Text that is HTML already: what stands in it from elsewhere is escaped."""

    __slots__ = ()


def html_page(title: str, body: str, *, style: str = "") -> str:
    """Return a page.

    Args:
        title: Its title, as text.
        body: What stands on it, as HTML.
        style: Rules of its own, after those of all pages.
    """
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{page_style(style)}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def page_style(style: str = "") -> str:
    """Return what stands between the tags of a page's style; a service allows exactly this."""
    own = f"{style}\n" if style else ""
    return f"\n{_STYLE}\n{own}"


def html_section(title: str, words: str, *parts: str) -> str:
    """Return a section; parts that are empty are left out."""
    found = [part for part in parts if part]
    shown = "\n".join(found) if found else "<p>Nothing could be measured.</p>"
    return f"<h2>{escape(title)}</h2>\n<p>{escape(words)}</p>\n{shown}"


def html_image(png: bytes, name: str) -> str:
    """Return a picture that carries its own bytes."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(name.replace("_", " "))}" src="data:image/png;base64,{data}">'


def html_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "", *, below: Sequence[object] = ()
) -> str:
    """Return a table; numbers to the right.

    Args:
        columns: Their names.
        rows: What stands in each.
        caption: Above the table.
        below: Of each row what stands under it over the whole width, such as a sentence; none where nothing does.
    """
    numeric = [any(is_number(row[at]) for row in rows) for at in range(len(columns))]
    shape = ['<{0} class="number">' if is_right else "<{0}>" for is_right in numeric]
    head = "".join(f"{tag.format('th')}{escape(name)}</th>" for tag, name in zip(shape, columns, strict=True))
    lines = [
        "".join(f"{tag.format('td')}{_cell(value)}</td>" for tag, value in zip(shape, row, strict=True)) for row in rows
    ]
    under = [f'\n<tr class="below"><td colspan="{len(columns)}">{_cell(each)}</td></tr>' for each in below]
    begin = '<tr class="above">' if under else "<tr>"
    body = "\n".join(f"{begin}{line}</tr>{more}" for line, more in zip(lines, under or [""] * len(lines), strict=True))
    named = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    return f'<div class="wide"><table>\n{named}<tr>{head}</tr>\n{body}\n</table></div>'


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Html):
        return value
    return escape(f"{value:,}" if isinstance(value, int) else str(value))
