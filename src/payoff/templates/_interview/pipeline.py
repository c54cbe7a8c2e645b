"""The steps: a function is a table or a model, its parameters are its inputs. There is no model yet: `payoff worth` says what one could be worth.

When it is worth a try, write its step here, and name it in charter.toml: [model] step = "model".

    from payoff import step
    import pandas as pd

    @step(seed=7)
    def model(train: pd.DataFrame, *, max_iter: int = 100):
        ...
"""
