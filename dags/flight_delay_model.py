"""The flight delay model: a plain function from a data frame to a scikit-learn model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from sklearn.utils import assert_all_finite

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = [
    "dep_delay",
    "distance",
    "sched_dep_hour",
    "day_of_week",
    "temp",
    "wind_speed",
    "precip",
    "visib",
]


def train(data: pd.DataFrame, params: dict[str, Any]) -> Pipeline:
    """Fit on features and target ``late``.

    :param params: ``max_iter`` of the boosting; ``reject_missing``: refuse rows with missing numbers, as a
        careful author may do who forgets that a cancelled flight never gets a departure delay;
        ``model: linear`` for a plain logistic regression on two features.
    """
    features, late = data.drop(columns="late"), data["late"]
    if params.get("model") == "linear":
        few = ColumnTransformer([("scaled", StandardScaler(), ["distance", "sched_dep_hour"])])
        return make_pipeline(few, LogisticRegression()).fit(features, late)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=200)
    columns = ColumnTransformer([("codes", codes, CATEGORIES), ("numbers", "passthrough", NUMBERS)])
    boosting = HistGradientBoostingClassifier(max_iter=int(params.get("max_iter", 60)), random_state=0)
    model = make_pipeline(columns, boosting)
    if params.get("reject_missing"):
        model = make_pipeline(FunctionTransformer(refuse_missing), columns, boosting)
    return model.fit(features, late)


def refuse_missing(features: pd.DataFrame) -> pd.DataFrame:
    """Pass the features on unless a departure delay is missing."""
    assert_all_finite(features[["dep_delay"]].to_numpy(dtype=float), input_name="dep_delay")
    return features
