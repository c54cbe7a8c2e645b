"""The steps: a function is a table or a model, its parameters are its inputs."""

import pandas as pd

from payoff import log_metric, step


@step(seed=7, threads=1)  # so few rows: more threads would wait for each other
def model(train: pd.DataFrame, *, epochs: int = 15, width: int = 16, learning_rate: float = 0.01):
    """A small net in PyTorch, on the processor. It takes the columns of `train` without the id and the outcome, in their order, as numbers.

    Payoff seeds PyTorch and makes it deterministic before the first line here. It scores the net as it is returned: in `eval` mode, its
    one output per row is the chance of the outcome.
    """
    import torch
    from torch import nn

    features = train.drop(columns=["order_id", "fraud"])
    rows = torch.tensor(features.to_numpy(dtype="float32"))
    outcomes = torch.tensor(train["fraud"].to_numpy(dtype="float32"))

    # The first layer brings the columns to one scale: the mean and spread of all of train, not of the last batches.
    scale = nn.BatchNorm1d(rows.shape[1], affine=False, momentum=None)
    scale(rows)
    scale.eval()
    net = nn.Sequential(
        nn.Linear(rows.shape[1], width), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 1), nn.Flatten(0),
    )
    with torch.no_grad():
        scaled = scale(rows)

    loss = nn.BCEWithLogitsLoss()
    adam = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.01)
    calmer = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    net.train()
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(scaled)).split(256):
            adam.zero_grad()
            value = loss(net(scaled[batch]), outcomes[batch])
            value.backward()
            adam.step()
            total += float(value.detach()) * len(batch)
        calmer.step()
    log_metric("train_loss", total / len(scaled))
    return nn.Sequential(scale, net, nn.Sigmoid())
