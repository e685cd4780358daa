"""Business reviews in words, tables and a page.

What belongs here: how they look. What does not: reviewing, or reading a review.
"""

from html import escape
from typing import Final

import polars as pl

from forecast_assets.contracts import CHALLENGER, CHAMPION, CHAMPION_SAME_DAYS, WEEKS_BEFORE
from forecast_assets.core.actions import Action
from forecast_assets.core.wording import counted
from forecast_assets.operations.reviewing import BusinessReview
from forecast_assets.plots.reviews import review_png
from forecast_assets.presentation.actions import command_line
from forecast_assets.presentation.drift import backlog_text
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from forecast_assets.presentation.policies import proposal_text
from forecast_assets.presentation.text import table

_HEADS: Final = ("kpi", "segment", "week", "4 weeks before", "shift", "by chance", "allowed", "")
_SHOWN_SEGMENTS: Final = 12
_Row = tuple[str, ...]


def review_text(review: BusinessReview) -> str:
    """Say what a week was like, what is open, and what might be changed of the policy."""
    parts = [
        _sentence(review),
        table(_HEADS, _overall(review.rows)),
        _segments_text(review.rows),
        _challenger_text(review),
        f"Open items of the backlog\n{backlog_text(review.items)}",
        _proposals_text(review),
    ]
    return "\n\n".join(part for part in parts if part)


def review_page(review: BusinessReview) -> str:
    """Return a page on a week."""
    title = f"Week {review.record.week} of {review.record.cadence} runs"
    moved = _moved(review.rows)
    sections = [
        html_section(
            "Figures", _sentence(review), html_table(_HEADS, _overall(review.rows)),
            html_image(review_png(review.rows), "error and coverage by week"),
        ),
        html_section(
            "Segments", _moved_words(review.rows),
            html_table(_HEADS, moved) if moved else "<p>None.</p>",
        ),
        html_section("Champion against challenger", "", _preformatted(_challenger_text(review) or "No challenger.")),
        html_section("Open items of the backlog", "", _preformatted(backlog_text(review.items))),
        html_section("Proposed policy", "Nothing is changed by itself.", _preformatted(_proposals_text(review))),
    ]  # fmt: skip
    return html_page(title, f"<h1>{escape(title)}</h1>\n" + "\n".join(sections))


def apply_line(review: BusinessReview) -> str:
    """Return the command that applies what is proposed; empty where nothing is."""
    if review.proposal is None:
        return ""
    settings = [part for each in review.proposal.changes for part in ("--set", f"{each.name}={each.after:g}")]
    reason = f'"review of {review.record.week}"'
    return command_line(Action("policy apply", {"by": "NAME", "reason": reason}, on=tuple(settings)))


def _sentence(review: BusinessReview) -> str:
    record = review.record
    overall = review.rows.filter(role=CHAMPION, segment_kind="all").to_dicts()
    days, of = (overall[0]["days"], f" of {overall[0]['model_version']}") if overall else (0, "")
    return (
        f"Week {record.week} of {record.cadence} runs{of}: {days} of 7 days measured, held against policy "
        f"{record.policy} (ledger entry {record.sequence})."
    )


def _overall(rows: pl.DataFrame) -> list[_Row]:
    return [_row(row) for row in rows.filter(role=CHAMPION, segment_kind="all").iter_rows(named=True)]


def _moved(rows: pl.DataFrame) -> list[_Row]:
    """Segments of the champion that are beyond chance or a bound, those that sold most first."""
    return [_row(row) for row in _moved_rows(rows).iter_rows(named=True)]


def _moved_rows(rows: pl.DataFrame) -> pl.DataFrame:
    beyond = pl.col("is_beyond_chance").fill_null(value=False) | pl.col("is_beyond_bound").fill_null(value=False)
    own = rows.filter((pl.col("role") == CHAMPION) & (pl.col("segment_kind") != "all") & beyond)
    return own.sort(-pl.col("rows"), "segment_kind", "segment", "kpi")


def _moved_words(rows: pl.DataFrame) -> str:
    judged = rows.filter(
        (pl.col("role") == CHAMPION) & (pl.col("segment_kind") != "all") & pl.col("shift").is_not_null()
    )
    return (
        f"{counted(_moved_rows(rows).height, 'figure')} of segments beyond chance or a bound, of {judged.height:,}; by "
        "chance alone one in a hundred is."
    )


def _segments_text(rows: pl.DataFrame) -> str:
    moved = _moved(rows)
    more = len(moved) - _SHOWN_SEGMENTS
    lines = [_moved_words(rows)]
    if moved:
        lines.append(table(_HEADS, moved[:_SHOWN_SEGMENTS]))
    if more > 0:
        lines.append(f"and {more:,} more: see the view audit.business_reviews.")
    return "\n".join(lines)


def _challenger_text(review: BusinessReview) -> str:
    overall = review.rows.filter(segment_kind="all")
    roles = {role: overall.filter(role=role) for role in (CHAMPION_SAME_DAYS, CHALLENGER)}
    if any(rows.is_empty() for rows in roles.values()):
        return ""
    champion, challenger = ({row["kpi"]: row for row in rows.iter_rows(named=True)} for rows in roles.values())
    names = [next(iter(side.values()))["model_version"] for side in (champion, challenger)]
    days = next(iter(challenger.values()))["days"]
    shown = table(("kpi", *names), [
        (kpi, _number(row["figure"]), _number(challenger[kpi]["figure"])) for kpi, row in champion.items()
    ])  # fmt: skip
    verdict = review.verdict
    said = (
        ""
        if verdict is None
        else f"\nThe trial is {verdict.decision} by days up to {verdict.target_date}: e-value {verdict.e_value:.3g} "
        f"(ledger entry {verdict.sequence})."
    )
    return f"Champion against challenger, on {counted(days, 'day')} on which both were measured\n{shown}{said}"


def _proposals_text(review: BusinessReview) -> str:
    lines = [f"- {each.key}: {each.reason}." for each in review.record.proposals if each.key not in review.outdated]
    if review.outdated:
        lines.append(f"Changed by somebody since, and left alone: {', '.join(review.outdated)}.")
    if review.proposal is None:
        return "\n".join([*lines, "No change of the policy is proposed."])
    return "\n".join(["Proposed, and not applied:", *lines, "", proposal_text(review.proposal), "", apply_line(review)])


def _row(row: dict[str, object]) -> _Row:
    kind = str(row["segment_kind"])
    segment = "all" if kind == "all" else f"{kind.replace('_', ' ')} {row['segment']}"
    before = [row[f"figure_{back}_before"] for back in range(WEEKS_BEFORE, 0, -1)]
    notes = [
        words for name, words in (("is_beyond_chance", "shifted"), ("is_beyond_bound", "beyond bound")) if row[name]
    ]
    return (
        str(row["kpi"]), segment, _number(row["figure"]), " ".join(_number(each) or "-" for each in before),
        _signed(row["shift"]), _number(row["chance"]), _allowed(row["lowest"], row["highest"]), ", ".join(notes),
    )  # fmt: skip


def _allowed(lowest: object, highest: object) -> str:
    if lowest is None and highest is None:
        return ""
    return f"up to {_number(highest)}" if lowest is None else f"{_number(lowest)} to {_number(highest)}"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else ""


def _signed(value: object) -> str:
    return f"{value:+.3f}" if isinstance(value, float) else ""


def _preformatted(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"
