"""Files of a made-up shop, as a till in Germany writes them.

What belongs here: files that the guide and tests of whole ways start from. What does not: reading them.
"""

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Final

FIRST: Final = date(2025, 1, 1)
LAST: Final = date(2025, 6, 30)
STORES: Final = ("001", "002")
ARTICLES: Final = tuple(f"47{number:02d}" for number in range(1, 21))

_SATURDAY: Final = 6


def write_shop(folder: Path) -> None:
    """Write a file of sales per month and a table of articles: semicolons, Windows-1252, only what was sold.

    Args:
        folder: Where to.
    """
    chance = random.Random(7)
    lines: dict[str, list[str]] = {}
    for day in (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)):
        for store in STORES:
            for article in ARTICLES:
                units = _sold(chance, day, article)
                if units:
                    row = f"{day:%d.%m.%Y};{store};{article};Käse {article};{units},0;{2 * units},50"
                    lines.setdefault(f"{day:%Y-%m}", []).append(row)
    for month, rows in lines.items():
        text = "\r\n".join(["sep=;", "Datum;Filiale;Artikelnummer;Bezeichnung;Menge;Umsatz", *rows, ""])
        (folder / f"kasse_{month}.csv").write_bytes(text.encode("cp1252"))
    articles = [f"{article};{'Käse' if article < ARTICLES[10] else 'Brot'}" for article in ARTICLES]
    text = "\r\n".join(["Artikelnummer;Warengruppe", *articles, ""])
    (folder / "artikel.csv").write_bytes(text.encode("cp1252"))


def _sold(chance: random.Random, day: date, article: str) -> int:
    """Return units of a day: a level per article, more on Saturdays, and chance."""
    mean = (1 + ARTICLES.index(article)) * (1.5 if day.isoweekday() == _SATURDAY else 1.0)
    return sum(chance.random() < mean / 200 for _ in range(200))
