"""What a notification says, whatever its format.

What belongs here: words for people, and links to runbooks. What does not: formats of destinations.
"""

from collections import Counter
from dataclasses import dataclass

from forecast_assets.core.actions import Action
from forecast_assets.presentation.actions import command_line
from resources.operational.alerts import CLOSED, Notice, NoticeItem

_SHOWN = 3


@dataclass(frozen=True)
class WordedNotice:
    """A notification with what its words need besides.

    Attributes:
        notice: What changed.
        home: Which home it is of, for people who have several.
        runbooks: Where runbooks are: an address or a folder.
    """

    notice: Notice
    home: str
    runbooks: str

    @property
    def subject(self) -> str:
        """The line that is read on a telephone."""
        counts = Counter(item.what for item in self.notice.items)
        numbers = ", ".join(f"{number} {what}" for what, number in counts.items())
        shown = ", ".join(_named(item) for item in self.notice.items[:_SHOWN])
        more = len(self.notice.items) - _SHOWN
        return f"[forecast-assets] {numbers}: {shown}{f' and {more} more' if more > 0 else ''}"

    @property
    def text(self) -> str:
        """All of it."""
        return "\n\n".join([*(self.item_text(item) for item in self.notice.items), f"Home: {self.home}"])

    def item_text(self, item: NoticeItem) -> str:
        """Say one change: what, since when, what to do, and where that is explained."""
        alert = item.alert
        head = f"{item.what.upper()} {alert.severity}: {_named(item)} (alert {alert.alert_id})"
        if item.what == CLOSED:
            times = f"from {_minute(alert.opened_at)} to {_minute(alert.closed_at)} UTC"
            return f"{head}\nIt was: {alert.words}\nOpen {times}."
        acknowledge = Action("alerts acknowledge", {"by": "NAME"}, on=(alert.alert_id,))
        return (
            f"{head}\n{alert.words}\nTo do: {alert.remedy}\nRunbook: {self.runbook(alert.code)}\n"
            f"Since {_minute(alert.opened_at)} UTC. Say that you look: {command_line(acknowledge)}"
        )

    def runbook(self, code: str) -> str:
        """Return where the page of a code is."""
        return runbook_link(self.runbooks, code)


def runbook_link(base: str, code: str) -> str:
    """Return where the page of a code is.

    Example:
        >>> runbook_link("https://wiki.example/runbooks/", "late-feed")
        'https://wiki.example/runbooks/late-feed.md'
    """
    return f"{base.rstrip('/')}/{code}.md"


def _named(item: NoticeItem) -> str:
    return f"{item.alert.code} {item.alert.subject}"


def _minute(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
