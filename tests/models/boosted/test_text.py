"""Artifacts with trees that training does not make are refused when they are read, before LightGBM sees them."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.models.boosted.model import COMBINED
from forecast_assets.models.boosted.text import require_whole
from forecast_assets.models.boosted.training import train_global
from forecast_assets.models.boosted.trees import fit_trees
from forecast_assets.models.family import family
from tests.support.forecast_cases import lawful_fields, one_group, panel_of

COUNT, HORIZON = 20, 14
NAMES = ("a", "b")


@pytest.fixture(scope="module")
def content() -> bytes:
    fields, _ = lawful_fields(COUNT, days=70, horizon=HORIZON, level=20.0, seed=1)
    return train_global(COMBINED, panel_of(**fields), one_group(COUNT), horizon=HORIZON, workers=1)[0].to_bytes()


@pytest.fixture(scope="module")
def text() -> str:
    """Two trees with a category."""
    random = np.random.default_rng(1)
    inputs = np.stack([random.integers(0, 6, 4000), random.normal(size=4000)], axis=1).astype(np.float32)
    units = random.poisson(1.0 + inputs[:, 0] % 3).astype(np.float64)
    return fit_trees(
        inputs, units, np.zeros(4000), names=NAMES, drivers=NAMES, categorical=["a"], rounds=2, workers=1
    ).text


def test_what_training_makes_is_read(content: bytes) -> None:
    assert family(COMBINED).load(content).to_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(family="global"), "not of the family `combined` in format 1"),
        (lambda data: data.update(format=2), "not of the family `combined` in format 1"),
        (lambda data: data.pop("smallest"), "KeyError 'smallest'"),
        (lambda data: data.update(smallest=0.0), r"the smallest level is 0\.0"),
        (lambda data: data["shares"].update(smooth=1.2), "share of 0 to 1: smooth"),
        (lambda data: data["shares"].update(smooth=float("nan")), "share of 0 to 1: smooth"),
        (lambda data: data["shares"].update(smoth=0.5), "share of 0 to 1: smoth"),
        (lambda data: data.update(categories=["b", "a"]), "product groups are not sorted"),
        (lambda data: data["inputs"].pop(), "The trees look at 56 inputs, and 55 are named"),
        (lambda data: data["inputs"].insert(3, data["inputs"].pop(5)), "not the same: level_"),
        (lambda data: data["inputs"][2].update(kind="moon"), "does not know the kind or driver of level_1d"),
        (lambda data: data["inputs"][2].update(driver="luck"), "does not know the kind or driver of level_1d"),
        (lambda data: data["inputs"][2].update(phase=1), "TypeError .*phase"),
        (lambda data: data["demand"].update(text=data["demand"]["text"][:-400]), "text of the trees is not whole"),
        (lambda data: data["demand"].pop("start"), "KeyError 'start'"),
        (lambda data: data["calibration"].update(factors=[]), "AttributeError .*items"),
        (lambda data: data["demand"].update(text=5), "AttributeError .*partition"),
        (lambda data: data["calibration"]["factors"].pop("smooth|0|0"), r"calibration is wrong in smooth\|0\|0"),
        (lambda data: data["calibration"]["factors"]["smooth|0|0"].reverse(), r"wrong in smooth\|0\|0"),
        (lambda data: data["statistical"]["calibration"]["rho"].update(smooth=1.5), "wrong in rho of smooth"),
    ],
)
def test_what_training_does_not_make_is_refused_by_name(
    content: bytes, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    data = json.loads(content)
    change(data)
    with pytest.raises(InputError, match=message) as caught:
        family(COMBINED).load(json.dumps(data).encode())
    assert "Train the version again" in caught.value.remedy


def test_bytes_that_are_no_json_are_refused(content: bytes) -> None:
    for broken in (content[: len(content) // 2], b"\xff" + content, b"[]", b"5"):
        with pytest.raises(InputError, match="no artifact of the family `combined`"):
            family(COMBINED).load(broken)


def test_trees_of_training_are_whole(text: str) -> None:
    require_whole(text, NAMES)
    nothing = fit_trees(np.zeros((50, 2), np.float32), np.ones(50), np.zeros(50), names=NAMES, drivers=NAMES, rounds=2)
    require_whole(nothing.text, NAMES)


def test_a_text_that_breaks_off_anywhere_is_refused(text: str) -> None:
    for length in range(0, text.index("end of parameters"), 7):
        with pytest.raises(InputError, match="not whole"):
            require_whole(text[:length], NAMES)


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        (r"leaf_value=\S{3}", "leaf_value=0.x"),
        (r"leaf_value=\S{3}", "leaf_value=nan"),
        (r"num_leaves=\d+", "num_leaves=9"),
        (r"split_feature=\d", "split_feature=7"),
        (r"left_child=\S+", "left_child=0"),
        (r"\nthreshold=", "\nthresh0ld="),
        (r"\nthreshold=\d+", "\nthreshold=999999"),
        (r"cat_boundaries=0 \d", "cat_boundaries=0 9"),
        (r"cat_threshold=\d+ ", "cat_threshold="),
        (r"num_cat=\d+", "num_cat=0"),
        (r"num_cat=\d+", "num_cat=9"),
        (r"\nnum_cat=\d+", ""),
        (r"split_gain=\S+", "split_gain=x"),
        (r"leaf_weight=\S+ ", "leaf_weight="),
        (r"shrinkage=\S+", "shrinkage=x"),
        (r"Tree=1", "Tree=0"),
    ],
)
def test_trees_that_are_none_are_named(text: str, pattern: str, by: str) -> None:
    changed = re.sub(pattern, by, text, count=1)
    sizes = [len(part) for part in re.findall(r"Tree=.*?(?=Tree=|end of trees)", changed, flags=re.DOTALL)]
    changed = re.sub(r"tree_sizes=.*", f"tree_sizes={' '.join(map(str, sizes))}", changed)
    with pytest.raises(InputError, match=r"These are no trees: [01] of 2"):
        require_whole(changed, NAMES)
