"""What an evaluation did, as whoever started it reads it.

What belongs here: words for the terminal and for Dagster's log. What does not: what destinations are sent.
"""

from collections.abc import Sequence

from forecast_assets.alerts.evaluating import AlertEvaluation
from forecast_assets.alerts.sending import Delivered
from forecast_assets.core.wording import counted


def evaluation_text(done: AlertEvaluation) -> str:
    """Return what opened, closed and was told."""
    opened = [f"opened: {each.code} {each.subject}: {each.words}" for each in done.taken.opened]
    closed = [f"closed: {each.code} {each.subject}" for each in done.taken.closed]
    open_now = sum(each.is_alert for each in done.health.findings)
    told = delivered_text([each for each in done.delivered if each.sent or each.trouble])
    held = f"{done.taken.held_back} changes wait: enough was told in this hour." if done.taken.held_back else ""
    lines = [*opened, *closed, f"{counted(open_now, 'finding')} now.", told, held]
    return "\n".join(line for line in lines if line)


def delivered_text(delivered: Sequence[Delivered]) -> str:
    """Return what each destination took."""
    return "\n".join(f"{each.destination}: {each.trouble or counted(each.sent, 'notification')}" for each in delivered)
