"""The steps: a function is a table or a model, its parameters are its inputs."""

import ibis
import pandas as pd

from payoff import log_metric, step


@step
def examples(clients: ibis.Table, contacts: ibis.Table) -> ibis.Table:
    """One row per decision: what is known of a client, and what came of the call. Runs where the data is."""
    return clients.join(contacts, "client_id").drop("day")


@step(seed=7, threads=1)  # so few rows: more threads would wait for each other
def model(train: pd.DataFrame, *, max_iter: int = 80, learning_rate: float = 0.08, folds: int = 5):
    """Gradient boosting over what is known before the call, its probabilities calibrated: decisions need true chances.

    The folds are shuffled: clients are numbered in the order of the campaign, and chances learnt from its first part alone are too low
    for its end.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    features = train.drop(columns=["client_id", "subscribed"])
    text = make_column_selector(dtype_include=object)
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prepared = make_column_transformer((words, text), remainder="passthrough")
    booster = HistGradientBoostingClassifier(
        max_iter=max_iter, learning_rate=learning_rate, max_leaf_nodes=15, min_samples_leaf=40,
        categorical_features=list(range(len(text(features)))), random_state=7,
    )
    shuffled = StratifiedKFold(folds, shuffle=True, random_state=7)
    calibrated = CalibratedClassifierCV(make_pipeline(prepared, booster), method="isotonic", cv=shuffled)
    calibrated.fit(features, train["subscribed"])
    log_metric("train_rows", len(train))
    return calibrated
