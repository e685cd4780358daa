"""Gradient-boosted trees: fitting them with LightGBM, and taking their scores apart by driver.

What belongs here: one ensemble, its native text, its score and the exact contributions to it. What does not: inputs,
targets, or what a score means in units.

A row's score is the sum of the values of the leaves that it falls into. Each leaf's value is taken apart along the path
that leads to it: a split moves the expected score from the parent's to the child's, and that difference counts towards
the driver of the input that the split looks at (Saabas 2014; for trees the first-order form of what TreeSHAP averages
over all orders, Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9). Contributions and the starting value add up to
the score exactly, and a table of them by leaf costs seconds where exact TreeSHAP costs an hour.

LightGBM says which leaf a row falls into; the sums are made here, in a fixed order, so that they have the same bytes
for any number of threads.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Floats, InputMatrix
from forecast_assets.core.errors import InputError

# Chosen on FreshRetailNet's earlier weeks and the simulator: docs/models.md. Seeds and column-wise histograms with
# `deterministic` give the same trees for any number of threads; row-wise ones add up in as many blocks as there are
# threads, which shows in the last digits of many rows, or of units that differ much.
PARAMETERS: Final[Mapping[str, Any]] = {
    "objective": "poisson",
    "learning_rate": 0.08,
    "num_leaves": 63,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 127,
    "max_cat_to_onehot": 1,
    "cat_smooth": 50.0,
    "min_data_per_group": 500,
    "boost_from_average": False,
    "deterministic": True,
    "force_col_wise": True,
    "seed": 1,
    "verbosity": -1,
}
# Rows at a time: leaves of so many rows and all trees stay below 150 MB.
_CHUNK: Final = 100_000
# Rows whose sums stay in the processor's cache while tree after tree is added to them.
_BLOCK: Final = 4_000
# So many rows are sooner done by one thread than shared out among several.
_FEW_ROWS: Final = 2_000
_SMALLEST: Final = 1e-12


@dataclass(frozen=True)
class Trees:
    """A fitted ensemble.

    Attributes:
        text: LightGBM's native text.
        start: Score that the first tree starts from.
        drivers: [f] driver of each input, in the order of the matrix's columns.
    """

    text: str
    start: float
    drivers: tuple[str, ...]

    @classmethod
    def from_data(cls, data: Mapping[str, Any], drivers: Sequence[str]) -> "Trees":
        """Read the JSON form back."""
        return cls(data["text"], data["start"], tuple(drivers))

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form; what drives each input is said where the inputs are."""
        return {"text": self.text, "start": self.start}

    @cached_property
    def booster(self) -> Any:
        """The ensemble as LightGBM reads it.

        Raises:
            InputError: If the text is not a model, or not of as many inputs as there are drivers.
        """
        lightgbm = _lightgbm()
        try:
            booster = lightgbm.Booster(model_str=self.text)
        except lightgbm.basic.LightGBMError as error:
            raise InputError(f"The trees cannot be read: {error}.", remedy="Train the version again.") from error
        if booster.num_feature() != len(self.drivers):
            raise InputError(
                f"The trees look at {booster.num_feature()} inputs, and {len(self.drivers)} are named.",
                remedy="Train the version again.",
            )
        return booster

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Drivers, each once, sorted."""
        return tuple(sorted(set(self.drivers)))

    @cached_property
    def tables(self) -> list[Floats]:
        """[leaves, 1 + drivers] of each tree: the starting value, then what each driver adds on the way to the leaf."""
        place = {name: 1 + at for at, name in enumerate(self.names)}
        columns = np.array([place[driver] for driver in self.drivers])
        return [
            _table(tree["tree_structure"], columns, 1 + len(place)) for tree in self.booster.dump_model()["tree_info"]
        ]

    def prepare(self) -> None:
        """Read the text now, where several threads would else do it at once."""
        _ = self.tables

    def contributions(self, inputs: InputMatrix) -> Floats:
        """Take scores apart.

        Args:
            inputs: [k, f].

        Returns:
            [k, 1 + drivers]: the starting value, then each driver's contribution in the order of ``names``. A row's
            contributions add up to its score.
        """
        start = np.zeros(1 + len(self.names))
        start[0] = self.start
        return self._added_up(inputs, start, self.tables)

    def score(self, inputs: InputMatrix) -> Floats:
        """[k] Sum of each row's leaf values."""
        values = [table.sum(axis=1, keepdims=True) for table in self.tables]
        return self._added_up(inputs, np.array([self.start]), values)[:, 0]

    def plain_score(self, inputs: InputMatrix) -> Floats:
        """[k] Sum of leaf values, added up by LightGBM: quicker than `score`, and other in the last digits."""
        return self.start + np.asarray(self.booster.predict(inputs, raw_score=True), dtype=np.float64)

    def _added_up(self, inputs: InputMatrix, start: Floats, tables: Sequence[Floats]) -> Floats:
        """[k, w] ``start`` [w] and, tree after tree, the row for each one's leaf of the tree's table [leaves, w]."""
        out = np.empty((len(inputs), len(start)))
        out[:] = start
        for first in range(0, len(inputs), _CHUNK):
            leaves = self._leaves(inputs[first : first + _CHUNK])
            for begin in range(0, len(leaves), _BLOCK):
                some = np.ascontiguousarray(leaves[begin : begin + _BLOCK].T)
                _add_rows(out[first + begin : first + begin + some.shape[1]], some, tables)
        return out

    def _leaves(self, inputs: InputMatrix) -> npt.NDArray[np.int32]:
        threads = {"num_threads": 1} if len(inputs) <= _FEW_ROWS else {}
        leaves = self.booster.predict(inputs, pred_leaf=True, **threads)
        return np.asarray(leaves, dtype=np.int32).reshape(len(inputs), -1)


def _add_rows(out: Floats, leaves: npt.NDArray[np.int32], tables: Sequence[Floats]) -> None:
    """Add to [b, w] the rows of each table that leaves [trees, b] name, in the order of the trees."""
    found = np.empty_like(out)
    for table, at in zip(tables, leaves, strict=True):
        # Without a check of the places, which are LightGBM's own: with one, ``take`` would buffer.
        np.take(table, at, axis=0, out=found, mode="clip")
        out += found


def fit_trees(
    inputs: InputMatrix,
    units: Floats,
    log_offset: Floats,
    *,
    names: Sequence[str],
    drivers: Sequence[str],
    categorical: Sequence[str] = (),
    rounds: int,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> Trees:
    """Fit trees to units by Poisson pseudo-likelihood: expected units are exp(offset + score).

    Consistent for the mean whatever the distribution (Gourieroux, Monfort & Trognon 1984, doi:10.2307/1913472), also
    for amounts that are not counts.

    Args:
        inputs: [k, f]; NaN where unknown.
        units: [k] at least 0.
        log_offset: [k] logarithm of what is expected without trees, for days that are seen in part the part included.
        names: [f] inputs.
        drivers: [f] driver of each.
        categorical: Names of inputs whose values are categories.
        rounds: Trees.
        progress: Called with trees done.
        workers: Threads; all cores if left out.
    """
    # Small steps from 0 would leave part of what holds for all rows unlearned.
    start = float(np.log(max(float(units.sum()), _SMALLEST) / max(float(np.exp(log_offset).sum()), _SMALLEST)))
    rows = TreeRows.of(inputs, names=names, categorical=categorical, workers=workers)
    grown = rows.grow(units, log_offset + start, {}, rounds=rounds, progress=progress)
    return Trees(grown.text, start, tuple(drivers))


@dataclass(frozen=True)
class GrownTrees:
    """An ensemble as it was fitted.

    Attributes:
        text: LightGBM's native text.
        fitted: [k] what it makes of the rows that it was fitted to, with what they started from: of losses with a
            logarithm the mean, else the score.
    """

    text: str
    fitted: Floats


@dataclass(frozen=True)
class TreeRows:
    """Inputs that trees are fitted to, laid out once for all ensembles that look at them.

    Attributes:
        data: LightGBM's form of [k, f] inputs.
        workers: Threads; all cores if None.
    """

    data: Any
    workers: int | None

    @classmethod
    def of(
        cls, inputs: InputMatrix, *, names: Sequence[str], categorical: Sequence[str] = (), workers: int | None = None
    ) -> "TreeRows":
        """Lay out [k, f] inputs of some names, some of which have categories for values."""
        data = _lightgbm().Dataset(
            inputs,
            np.zeros(len(inputs)),
            feature_name=list(names),
            categorical_feature=list(categorical),
            params={"max_bin": PARAMETERS["max_bin"], "verbosity": -1},
        )
        return cls(data, workers)

    def grow(
        self,
        target: Floats,
        start: Floats,
        parameters: Mapping[str, Any],
        *,
        rounds: int,
        weights: Floats | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> GrownTrees:
        """Fit an ensemble.

        Args:
            target: [k] what scores are for.
            start: [k] scores that the first tree starts from.
            parameters: What differs from `PARAMETERS`.
            rounds: Trees.
            weights: [k] of rows; 1 if left out.
            progress: Called with trees done.
        """
        report = progress or (lambda _done: None)
        self.data.set_label(target)
        self.data.set_weight(weights)
        self.data.set_init_score(start)
        booster = _lightgbm().train(
            {**PARAMETERS, **parameters, "num_threads": self.workers or 0},
            self.data,
            rounds,
            callbacks=[lambda each: report(each.iteration + 1)],
            keep_training_booster=True,
        )
        # A tree of one leaf is told in full only by a model that was read back.
        text = _lightgbm().Booster(model_str=booster.model_to_string()).model_to_string()
        # How many threads fitted it says nothing of the model, and would change its bytes.
        lines = [line for line in text.splitlines(keepends=True) if not line.startswith("[num_threads:")]
        return GrownTrees("".join(lines), _fitted(booster))


def _fitted(booster: Any) -> Floats:
    """[k] What a booster makes of its own rows, which it knows without going through its trees once more."""
    found: list[Floats] = []

    def kept(made: Floats, _rows: Any) -> tuple[str, float, bool]:
        found.append(made.copy())
        return "kept", 0.0, True

    booster.eval_train(kept)
    return found[0]


def _lightgbm() -> Any:
    """Import LightGBM so that a thread that waits for others does not keep a processor busy.

    With as many threads as processors and any other work beside them, waiting busily makes a fit ten times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import lightgbm

    return lightgbm


def _table(root: Mapping[str, Any], columns: npt.NDArray[np.intp], width: int) -> Floats:
    """Walk a tree from its root, adding up by driver how the expected score moves."""
    rows: dict[int, Floats] = {}
    start = np.zeros(width)
    start[0] = _value(root)
    waiting = [(root, start)]
    while waiting:
        node, so_far = waiting.pop()
        if "leaf_value" in node:
            rows[node.get("leaf_index", 0)] = so_far
            continue
        for side in ("left_child", "right_child"):
            moved = so_far.copy()
            moved[columns[node["split_feature"]]] += _value(node[side]) - _value(node)
            waiting.append((node[side], moved))
    return np.stack([rows[leaf] for leaf in range(len(rows))])


def _value(node: Mapping[str, Any]) -> float:
    return float(node["leaf_value"] if "leaf_value" in node else node["internal_value"])
