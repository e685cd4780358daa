"""The breaker: open after failures in a row, one try after a while."""

from forecast_assets.core.breaker import Breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(failures=2, open_seconds=10.0, clock=lambda: 0.0)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()


def test_after_a_while_one_tries_and_closes_it() -> None:
    now = [0.0]
    breaker = Breaker(failures=1, open_seconds=10.0, clock=lambda: now[0])
    breaker.failed()
    now[0] = 10.0
    assert breaker.allows()
    assert not breaker.allows(), "one tries, the others wait for what it finds"
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.is_open
