"""Training code of one's own, for own_training.yaml: a small network whose average over the steps is what counts."""

import copy
import math

import torch
from torch import nn
from torch.utils.data import DataLoader


def run(config, state, data):
    """Yield (metrics, state) after every epoch; the state is what it goes on from after it was paused or killed.

    `config` has the options of the space file by name, and `epochs`, `device`, `seed`, `folder`. `data` is given since
    the function asks for it: the parts of the file's `data:` section, preprocessed; leave it out to read your own.
    """
    net = build(config, data.info).to(config["device"])
    average = copy.deepcopy(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=config["lr"], momentum=0.9, nesterov=True)
    done = 0
    if state:  # None at the first start
        net.load_state_dict(state["net"])
        average.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["epoch"]

    batches = DataLoader(data.train, batch_size=config["data"]["batch_size"], shuffle=True)
    for epoch in range(done + 1, config["epochs"] + 1):
        loss = train_epoch(net, average, optimizer, batches, config)
        metrics = {"train/loss": loss, "accuracy": accuracy(average, data.val, config)}
        yield (
            metrics,
            {
                "model": average.state_dict(),  # `tuner best` writes it as model.pt, too
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "epoch": epoch,
            },
        )


def build(config, info):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(info.input_shape), config["width"]),
        nn.ReLU(),
        nn.Dropout(config["dropout"]),
        nn.Linear(config["width"], info.n_targets),
    )


def train_epoch(net, average, optimizer, batches, config):
    """Return the mean loss."""
    total = 0.0
    net.train()
    for x, y in batches:
        loss = nn.functional.cross_entropy(net(x.to(config["device"])), y.to(config["device"]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(weight, 1 - config["decay"])
        total += loss.item()
    return total / len(batches)


@torch.no_grad()
def accuracy(net, rows, config):
    """Return the share of rows that are right."""
    x, y = (tensor.to(config["device"]) for tensor in rows.tensors)
    return (net.eval()(x).argmax(1) == y).float().mean()
