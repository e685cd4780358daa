"""The picture of a trial is drawn of whatever there is."""

from datetime import timedelta
from io import BytesIO

import pytest
from PIL import Image

from forecast_assets.lifecycle.judging import judge
from forecast_assets.lifecycle.pairs import compared_rows
from forecast_assets.plots import confidence_sequence_png
from tests.support.trial_cases import FIRST, Said, both, rows_of_days, trial


@pytest.mark.parametrize("days", [1, 8, 60])
def test_a_trial_of_any_length_has_a_picture(days: int) -> None:
    said = {FIRST + timedelta(days=at): both(Said(), Said(loss=88.0 + at % 5)) for at in range(days)}
    judged = judge(trial(), compared_rows(rows_of_days(said).lazy(), trial()).collect(), [*said])
    png = confidence_sequence_png(judged.rows, 0.1, 0.05, title="b against a")
    assert Image.open(BytesIO(png)).size == (900, 340)
    assert png == confidence_sequence_png(judged.rows, 0.1, 0.05, title="b against a")
