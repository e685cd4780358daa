"""Processes that publish into one bucket at once: every run once, nothing lost."""

from pathlib import Path

from tests.torture.crowd import Place
from tests.torture.test_writers import write_at_once

# The fewest that do everything: two ingest the same, one promotes, one registers.
WRITERS = 4
ROUNDS = 2


def test_of_all_who_want_a_run_in_a_bucket_one_publishes_it_and_nothing_is_lost(url: str, tmp_path: Path) -> None:
    place = Place(url, str(tmp_path / "mirror"))
    done = write_at_once(place, tmp_path / "meeting", WRITERS, ROUNDS)
    assert len(done) == WRITERS
    assert len(place.open().ledger.state().publications) == ROUNDS * (WRITERS + 1)
