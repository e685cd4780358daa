"""Files of skops: reading and writing them without importing all of scikit-learn.

What belongs here: which types are made from a file, and importing skops for that. What does not: what a model holds.

On import skops lists all types that it trusts by itself: it asks scikit-learn for every estimator, which imports all
its modules and pytest too, and looks for each of 400 functions of numpy and scipy in every module there is. That is a
second or two of a command that scores a small file. A detector is made of a few classes that are known by name; only
for a file that holds others those are listed.
"""

import sys
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any, Final

# What detectors are made of; none of it does anything when it is made.
_KNOWN: Final = frozenset(
    {
        "numpy.dtype",
        "sklearn.ensemble._iforest.IsolationForest",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.neighbors._lof.LocalOutlierFactor",
        "sklearn.neural_network._multilayer_perceptron.MLPRegressor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._label.LabelBinarizer",
        "sklearn.svm._classes.OneClassSVM",
        "sklearn.tree._classes.ExtraTreeRegressor",
        "sklearn.tree._tree.Tree",
    }
)
_LISTS: Final = "skops.io._trusted_types"


def written(content: Any) -> bytes:
    """Return what skops writes of an object."""
    return bytes(_skops().dumps(content))


def types_in(content: bytes) -> list[str]:
    """Return the types in a file that skops does not trust by itself; it takes as long as making them."""
    return [*_skops().get_untrusted_types(data=content)]


def made(content: bytes, types: Iterable[str]) -> Any:
    """Return the object in a file.

    Args:
        content: Of the file.
        types: That may be made, of those in it.

    Raises:
        UntrustedTypesFoundException: If it has others.
    """
    return _skops().loads(content, trusted=sorted(types))


def unknown_types(names: Iterable[str]) -> list[str]:
    """Return those types that neither are known here nor does scikit-learn vouch for, sorted."""
    left = [name for name in sorted(names) if name not in _KNOWN and not _is_universal(name)]
    # Those of other people's models; it takes seconds to list them.
    return [name for name in left if name not in _estimators()] if _has_estimator(left) else left


def _has_estimator(names: Iterable[str]) -> bool:
    return any(name.startswith("sklearn.") for name in names)


def _is_universal(name: str) -> bool:
    """Return whether a name is that of a function of numpy or scipy on arrays, such as a logarithm."""
    import numpy as np

    module, _, own = name.rpartition(".")
    return module.partition(".")[0] in ("numpy", "scipy") and isinstance(
        getattr(sys.modules.get(module), own, None), np.ufunc
    )


@cache
def _estimators() -> frozenset[str]:
    """Return the names of all public estimators of scikit-learn, which skops trusts too."""
    from sklearn.utils import all_estimators

    return frozenset(f"{each.__module__}.{each.__name__}" for _, each in all_estimators())


@cache
def _skops() -> Any:
    """Return `skops.io`, imported with short lists; of a release that wants others, with its own."""
    short = _short_lists() if _LISTS not in sys.modules else None
    if short is not None:
        sys.modules[_LISTS] = short
    try:
        import skops.io
    except ImportError:
        for name in [name for name in sys.modules if name.startswith("skops.io")]:
            del sys.modules[name]
        import skops.io
    finally:
        # Whoever asks for the lists themselves gets the whole ones.
        if short is not None and sys.modules.get(_LISTS) is short:
            del sys.modules[_LISTS]
    return skops.io


def _short_lists() -> ModuleType:
    """Return what skops trusts by itself, without estimators and functions."""
    import numpy as np

    generators = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
    lists: dict[str, list[str]] = {
        "PRIMITIVE_TYPE_NAMES": [f"builtins.{name}" for name in ("int", "float", "str", "bool")],
        "CONTAINER_TYPE_NAMES": [f"builtins.{name}" for name in ("list", "set", "map", "tuple")],
        "NUMPY_DTYPE_TYPE_NAMES": sorted(
            {f"{each.__module__}.{each.__name__}" for each in np.sctypeDict.values() if each.__module__ == "numpy"}
        ),
        "NUMPY_RANDOM_BIT_GENERATOR_TYPE_NAMES": [f"numpy.random.{name}" for name in generators],
        "NUMPY_UFUNC_TYPE_NAMES": [],
        "SCIPY_UFUNC_TYPE_NAMES": [],
        "SKLEARN_ESTIMATOR_TYPE_NAMES": [],
        "SKLEARN_INTERNAL_TYPE_NAMES": [],
    }
    module = ModuleType(_LISTS)
    vars(module).update(lists)
    return module
