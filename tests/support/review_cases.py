"""Weeks of hand-made measurements, recorded by the real code, and their reviews."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from forecast_assets.contracts import WEEKS_BEFORE
from forecast_assets.reviews.stage import ReviewContext, record_review, review_week
from resources.ledger.entries.review import WeekReview
from resources.stores.home import Stores
from tests.support.trial_cases import CHAMPION, Said, measured

SUNDAY = date(2025, 2, 9)
WEEK = "2025-W06"
NOW = datetime(2025, 2, 10, 6, tzinfo=UTC)
# The first of the days: the Monday four weeks before that of the week.
DAYS = 7 * (WEEKS_BEFORE + 1)
FIRST_DAY = SUNDAY - timedelta(days=DAYS - 1)


def measure_weeks(
    stores: Stores, said: Callable[[int, int], Said], *, version: str = CHAMPION, weeks: int = WEEKS_BEFORE + 1
) -> None:
    """Measure Saturday and Sunday of five weeks, or of the first of them.

    Args:
        stores: Where.
        said: What the run of a day came to, by number of its week (4 is the reviewed one) and weekday.
        version: Whose.
        weeks: How many weeks.
    """
    for at in (at for at in range(7 * weeks) if at % 7 in (5, 6)):
        week, weekday = divmod(at, 7)
        measured(stores, FIRST_DAY + timedelta(days=at), {(version, 1): said(week, weekday)})


def reviewed(stores: Stores, sunday: date = SUNDAY, now: datetime = NOW) -> tuple[WeekReview, bool]:
    """Review and record, as the asset does."""
    context = ReviewContext(stores, "daily", sunday)
    since = context.newest_entry()
    result = review_week(context, now)
    return record_review(context, context.write(result.result), result, since=since)
