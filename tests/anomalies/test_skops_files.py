"""Files of skops in a process of their own, in which nothing else has imported skops."""

import subprocess
import sys

import pytest

_HEAD = """
import sys
import numpy as np
from pathlib import Path
from forecast_assets.anomalies import skops_files
from forecast_assets.anomalies.detectors import DETECTORS
from forecast_assets.anomalies.model_file import AnomalyModel, loaded_model
from forecast_assets.core.errors import InputError
values = np.random.default_rng(1).normal(size=(60, 3))
"""
_OWN = """
from forecast_assets.anomalies.detectors import import_estimators
from forecast_assets.cli.start_up import swift_imports
with swift_imports(without=("pandas",)):
    import_estimators()
assert "pandas" not in sys.modules
for name, method in DETECTORS.items():
    model = AnomalyModel(name, name, ("a", "b", "c"), method.fit(values, 0), threshold=1.0)
    content = model.to_bytes(".skops")
    again = AnomalyModel(name, name, ("a", "b", "c"), method.fit(values, 0), threshold=1.0)
    assert again.to_bytes(".skops") == content, "equal models are equal bytes"
    read = loaded_model(Path("a.skops"), content)
    assert (method.scores(read.pipeline, values) == method.scores(model.pipeline, values)).all()
assert "skops.io._trusted_types" not in sys.modules, "whoever asks for the lists gets the whole ones"
assert not {"pytest", "sklearn.mixture", "sklearn.datasets"} & set(sys.modules)
"""
_OTHERS = """
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler
pipeline = make_pipeline(FunctionTransformer(np.log1p), RobustScaler(), KMeans(2, n_init=1)).fit(np.abs(values))
pipeline[0].n_features_in_ = 3
read = loaded_model(Path("a.skops"), AnomalyModel("a", "autoencoder", ("a", "b", "c"), pipeline).to_bytes(".skops"))
assert (read.pipeline.predict(np.abs(values)) == pipeline.predict(np.abs(values))).all()
"""
_UNKNOWN = """
from decimal import Decimal
pipeline = DETECTORS["lof"].fit(values, 0)
pipeline.memory = Path("x")
content = AnomalyModel("a", "lof", ("a", "b", "c"), pipeline).to_bytes(".skops")
unknown = skops_files.unknown_types(skops_files.types_in(content))
assert unknown == ["pathlib.PosixPath"], unknown
try:
    loaded_model(Path("a.skops"), content)
except InputError as error:
    assert "types that no detector is made of" in str(error)
else:
    raise AssertionError("it was made")
"""


@pytest.mark.parametrize("code", [_OWN, _OTHERS, _UNKNOWN], ids=["own", "others", "unknown"])
def test_models_are_read_without_what_they_do_not_need(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", _HEAD + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
