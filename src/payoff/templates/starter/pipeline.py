"""The steps: a function is a table or a model, its parameters are its inputs."""

import pandas as pd

from payoff import step


@step(seed=7)
def model(train: pd.DataFrame, *, C: float = 1.0):
    """Logistic regression over what is known at the decision."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = train.drop(columns=["customer_id", "churned"])
    return make_pipeline(StandardScaler(), LogisticRegression(C=C)).fit(features, train["churned"])
