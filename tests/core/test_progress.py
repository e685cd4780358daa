"""Progress of work in several threads: one count that never goes back."""

from concurrent.futures import ThreadPoolExecutor

from forecast_assets.core.progress import Together


def test_parts_at_the_same_time_are_one_count() -> None:
    told: list[tuple[int, int]] = []
    together = Together(lambda done, total: told.append((done, total)), 8 * 200)

    def work(_part: int) -> None:
        tell = together.part()
        for done in range(1, 201):
            tell(done)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert told == [(done, 8 * 200) for done in range(1, 8 * 200 + 1)]


def test_what_is_told_twice_counts_once() -> None:
    told: list[int] = []
    tell = Together(lambda done, _total: told.append(done), 5).part()
    tell(3)
    tell(3)
    tell(5)
    assert told == [3, 3, 5]
