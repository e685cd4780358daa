"""What each metric is called, measured in, and means.

What belongs here: the words, in one place for pages, tables and docs/metrics.md, and how a value is written. What does
not: measuring.

Values are ratios wherever they are stored: in files, in SQL and in frames 0.35 is 35%. People are shown percentages of
what the unit says; metrics without a unit are shown as they are.
"""

from dataclasses import dataclass
from typing import Final

_SALES: Final = "% of sales"
_DEMAND: Final = "% of demand"
_DAYS: Final = "% of days"
_KOLASSA: Final = "Kolassa and Schütz 2007 (MAD/mean ratio)"
_HYNDMAN: Final = "Hyndman and Koehler 2006 (scaled errors)"
_M5_POINT: Final = "Makridakis, Spiliotis and Assimakopoulos 2022 (M5 accuracy)"
_M5_SPREAD: Final = "Makridakis, Spiliotis, Assimakopoulos and others 2022 (M5 uncertainty)"
_WINKLER: Final = "Gneiting and Raftery 2007 (central intervals)"


@dataclass(frozen=True)
class Metric:
    """A metric in words.

    Attributes:
        name: As in column `metric` of the reports.
        unit: What it is a percentage of; empty for a plain number.
        best: The value of a perfect forecast, as people are shown it.
        words: One sentence.
        formula: The name of the formula, with who described it; empty where it is a plain ratio.
    """

    name: str
    unit: str
    best: str
    words: str
    formula: str = ""

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def _coverage(percent: int) -> Metric:
    words = f"Share of days whose demand lay inside the central {percent}% interval; lower means too narrow."
    return Metric(f"coverage_{percent}", _DAYS, f"{percent}%", words, f"interval coverage, {_WINKLER}")


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "wape", _SALES, "0%",
            "Sum of the absolute errors of expected sales, whatever their sign, over what was sold.",
            f"weighted absolute percentage error, {_KOLASSA}",
        ),
        Metric(
            "bias", _SALES, "0%",
            "Sum of the errors of expected sales with their sign, over what was sold; above 0 is too much.",
            "relative mean error",
        ),
        Metric(
            "largest_level_bias", _SALES, "0%",
            "The largest bias, without its sign, of any pair of a product and a store level.",
        ),
        Metric(
            "node_bias", _SALES, "0%",
            "Of a level: for each node and cutoff, its error added up over all days ahead, without its sign; summed "
            "over nodes and cutoffs, over what was sold. Too much here and too little there do not cancel in it.",
        ),
        Metric(
            "bias_before_reconciliation", _SALES, "0%",
            "Bias of the series' base forecasts, added up.",
        ),
        Metric(
            "node_bias_before_reconciliation", _SALES, "0%",
            "Node bias of the series' base forecasts, added up to each node.",
        ),
        Metric(
            "bias_of_node_forecasts", _SALES, "0%",
            "Bias of what the nodes of a level were forecast by themselves, before reconciliation; their demand is "
            "taken to sales in the proportion of what was published.",
        ),
        Metric(
            "node_bias_of_node_forecasts", _SALES, "0%",
            "Node bias of what the nodes of a level were forecast by themselves, before reconciliation.",
        ),
        Metric(
            "rmsse", "", "0",
            "Root mean squared error over that of guessing each past day like the day before; mean over series, or "
            "over the nodes of a level.",
            f"root mean squared scaled error, {_HYNDMAN}; {_M5_POINT}",
        ),
        Metric(
            "wrmsse", "", "0",
            "The same, each series or node weighted by its revenue of the last 28 days (units where prices are not "
            "known); over everything the mean over all levels.",
            f"weighted RMSSE, {_M5_POINT}",
        ),
        Metric(
            "demand_wape", _DEMAND, "0%",
            "As wape, of forecast demand against an estimate of what would have sold with stock. Both rest on the same "
            "assumptions, so it looks better than it is.",
        ),
        Metric("demand_bias", _DEMAND, "0%", "As bias, of forecast demand against that estimate."),
        Metric(
            "scaled_pinball_loss", _DEMAND, "0%",
            "Twice the mean pinball loss of the 13 quantiles over demand: quantiles are to be sharp and right at once. "
            "Of a point forecast it is its demand_wape.",
            "quantile loss, Koenker and Bassett 1978",
        ),
        Metric(
            "wspl", "", "0",
            "Mean pinball loss of M5's nine quantiles over the mean absolute one-day difference in the past, weighted; "
            "of series only, since only they have quantiles.",
            f"weighted scaled pinball loss, {_M5_SPREAD}",
        ),
        *(_coverage(percent) for percent in (50, 80, 95, 99)),
        Metric(
            "brier", "", "0",
            "Stock-outs: mean squared difference of the probability and what came (1 or 0). Beside it, as climatology, "
            "the score of saying for every day the share of days that had one.",
            "Brier score, Brier 1950",
        ),
        Metric(
            "roc_auc", "", "1",
            "Stock-outs: how often a day with one had the higher probability than a day without; 0.5 is chance.",
            "area under the ROC curve, Hanley and McNeil 1982",
        ),
        Metric(
            "calibration_error", "", "0",
            "Stock-outs: mean distance of the probability and the share that came, in ten bins of probability.",
            "expected calibration error, Naeini, Cooper and Hauskrecht 2015",
        ),
        Metric(
            "stability", _SALES, "0%",
            "How much expected sales of the same days changed from one cutoff to the next, over the later ones; only "
            "where the days ahead of cutoffs overlap.",
        ),
    )
}  # fmt: skip

# What versions are compared with, where the name alone does not say it.
METHODS: Final = {
    "version": "the version itself; before its own cutoff it would know its future, so there its recipe, trained anew",
    "seasonal_naive": "the last week, repeated",
    "statistical": "the statistical family, trained as of each cutoff",
    "champion": "the version that serves the cadence's channel, or its recipe before its own cutoff",
    "climatology": "the share of days that had a stock-out, said of every day: known only afterwards, so a hard mark",
}


def value_text(metric: str, value: float | None) -> str | None:
    """Return a value as people read it: a percentage where the metric has a unit.

    Args:
        metric: Name; one that is not known is a plain number.
        value: As measured.

    Returns:
        Text; None where there is no value.

    Example:
        >>> value_text("wape", 0.3504), value_text("rmsse", 0.8291), value_text("bias", -0.00004)
        ('35.0%', '0.829', '0.0%')
    """
    if value is None:
        return None
    if metric in METRICS and METRICS[metric].unit:
        return f"{round(100 * value, 1) + 0.0:.1f}%"
    return f"{round(value, 3) + 0.0:.3f}"


def title_text(metric: str) -> str:
    """Return the name of a metric with its unit.

    Example:
        >>> title_text("wape"), title_text("brier"), title_text("whatever")
        ('wape (% of sales)', 'brier', 'whatever')
    """
    return METRICS[metric].title if metric in METRICS else metric
