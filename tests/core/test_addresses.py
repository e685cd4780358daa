"""Addresses as people may read them."""

import pytest

from forecast_assets.core.addresses import without_password


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ana:secret@db/x", "postgresql://ana:***@db/x"),
        ("postgresql://ana:sec@ret@db/x", "postgresql://ana:***@db/x"),
        ("postgresql://ana:sec/ret@db/x", "postgresql://ana:***@db/x"),
        ("postgresql://ana:sec?ret@db/x", "postgresql://ana:***@db/x"),
        ("postgresql://ana:sec ret@db/x", "postgresql://ana:***@db/x"),
        ("postgresql://ana@db/x?password=secret", "postgresql://ana@db/x"),
        ("postgresql://ana:secret@db/x?user=bob&password=secr@et", "postgresql://ana:***@db/x"),
        ("postgresql://db:5432/x?sslpassword=secret", "postgresql://db:5432/x"),
        ("postgresql:///x?host=db&PASSWORD=secret", "postgresql:///x"),
        ("redis://:secret@db:1/2", "redis://:***@db:1/2"),
        ("redis://db:1/2", "redis://db:1/2"),
        ("https://mlflow.example.org/a", "https://mlflow.example.org/a"),
        ("nothing of postgresql://ana:secret@db/x: why?", "nothing of postgresql://ana:***@db/x: why?"),
    ],
)
def test_no_password_is_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown
