"""The steps: a function is a table or a model, its parameters are its inputs."""

import pandas as pd

from payoff import log_metric, step


@step(seed=7, threads=1)  # so few rows: more threads would wait for each other
def model(train: pd.DataFrame, *, epochs: int = 15, width: int = 32, learning_rate: float = 0.005):
    """A small net in Keras on TensorFlow. It takes the columns of `train` without the id and the outcome, in their order, as numbers.

    Payoff seeds TensorFlow and Keras and makes them deterministic before the first line here. The net's one output per row is the chance
    of the outcome.
    """
    import keras

    rows = train.drop(columns=["week_id", "fails"]).to_numpy(dtype="float32")
    outcomes = train["fails"].to_numpy(dtype="float32")

    scale = keras.layers.Normalization()  # brings the columns to one scale, and is part of the net
    scale.adapt(rows)
    net = keras.Sequential([
        keras.Input((rows.shape[1],)),
        scale,
        keras.layers.Dense(width, activation="relu"),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(width, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    net.compile(optimizer=keras.optimizers.AdamW(learning_rate), loss="binary_crossentropy")
    told = net.fit(rows, outcomes, epochs=epochs, batch_size=128, verbose=0)
    log_metric("train_loss", told.history["loss"][-1])
    return net
