"""Which blocks are kept: bounded, those in use longest, and nothing in use goes for what nobody has asked for."""

from forecast_assets.serving.dataplane.kept_blocks import KeptBlocks


def names(kept: KeptBlocks, *versions: str) -> set[tuple[str, int]]:
    return {(version, number) for version in versions for number in range(9) if kept.has([(version, number)])}


def of(version: str, *numbers: int) -> dict[tuple[str, int], bytes]:
    return {(version, number): bytes(10) for number in numbers}


def test_what_is_asked_for_displaces_first_what_nobody_read_and_then_what_was_read_longest_ago() -> None:
    kept = KeptBlocks(40)
    kept.keep(of("a", 0, 1))
    assert kept.keep_beforehand(of("b", 0, 1))
    assert kept.get(("a", 0)) == bytes(10)
    kept.keep(of("c", 0, 1))
    assert names(kept, "a", "b", "c") == {("a", 0), ("a", 1), ("c", 0), ("c", 1)}
    kept.keep(of("c", 2))
    assert (names(kept, "a", "c"), kept.size) == ({("a", 0), *of("c", 0, 1, 2)}, 40)


def test_a_block_that_is_kept_again_counts_once() -> None:
    kept = KeptBlocks(40)
    for _ in range(3):
        kept.keep(of("a", 0, 1))
        assert kept.keep_beforehand(of("a", 0, 1))
    assert kept.size == 20


def test_nothing_in_use_goes_for_what_is_kept_beforehand() -> None:
    kept = KeptBlocks(40)
    kept.warm({"a"})
    kept.keep_beforehand(of("a", 0, 1, 2))
    assert not kept.has_room(20)
    assert not kept.keep_beforehand(of("a", 3, 4))
    assert (names(kept, "a"), kept.size) == (set(of("a", 0, 1, 2, 3)), 40)


def test_of_runs_that_others_came_after_goes_what_nobody_has_read_since() -> None:
    kept = KeptBlocks(40)
    kept.warm({"a"})
    kept.keep_beforehand(of("a", 0, 1, 2, 3))
    kept.warm({"b"})
    assert kept.get(("a", 2)) is not None
    kept.warm({"b"})
    assert (kept.has_room(30), kept.has_room(40)) == (True, False)
    assert not kept.keep_beforehand(of("b", 0, 1, 2, 3))
    assert (names(kept, "a", "b"), kept.size) == ({("a", 2), *of("b", 0, 1, 2)}, 40)


def test_more_than_the_bound_is_not_kept_at_all() -> None:
    kept = KeptBlocks(5)
    kept.keep(of("a", 0))
    assert not kept.keep_beforehand(of("a", 1))
    assert kept.size == 0
