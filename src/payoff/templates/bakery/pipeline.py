"""The steps: a function is a table or a model, its parameters are its inputs."""

import pandas as pd

from payoff import log_metric, step


@step(seed=7, threads=1)
def model(train: pd.DataFrame, *, max_iter: int = 150, learning_rate: float = 0.05):
    """A forecast of what will be asked for. How far it may be off, and so how much more than that to bake, is found out by Payoff."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    features = train.drop(columns=["day_id", "day", "asked_for"])
    log_metric("train_rows", len(train))
    forecast = HistGradientBoostingRegressor(
        loss="poisson", max_iter=max_iter, learning_rate=learning_rate, max_leaf_nodes=15, min_samples_leaf=40, random_state=7
    )
    return forecast.fit(features, train["asked_for"])
