"""A search as people write it by hand: Optuna, a DataLoader over torchvision's Fashion-MNIST, the usual training loop.

    python benchmarks/peers/handwritten.py --root FOLDER [--trials 100] [--seed 0] [--out FILE.json]

The problem is that of Optuna's PyTorch example: 1 to 3 layers of 4 to 128 units with dropout 0.2 to 0.5, Adam, RMSprop
or SGD, lr 1e-5 to 1e-1, 10 epochs of 30 batches of 128, validation on 1280 images, Optuna's default sampler and median
pruner. FOLDER has FashionMNIST/raw, as torchvision lays it out. Nothing in here knows of tuner.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import optuna
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

BATCH_SIZE = 128
EPOCHS = 10
TRAIN_BATCHES = 30
VALID_BATCHES = 10


def make_model(trial: optuna.Trial) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    n_in = 28 * 28
    for i in range(trial.suggest_int("n_layers", 1, 3)):
        n_out = trial.suggest_int(f"width_{i}", 4, 128)
        dropout = trial.suggest_float(f"dropout_{i}", 0.2, 0.5)
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(dropout)]
        n_in = n_out
    return nn.Sequential(*layers, nn.Linear(n_in, 10))


def make_optimizer(trial: optuna.Trial, model: nn.Module) -> torch.optim.Optimizer:
    name = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(model.parameters(), lr=lr)
    return optimizer


def make_loader(root: Path, *, train: bool) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    dataset = datasets.FashionMNIST(str(root), train=train, transform=transforms.ToTensor())
    return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=train)


def train_epoch(
    model: nn.Module, loader: DataLoader[tuple[torch.Tensor, torch.Tensor]], optimizer: torch.optim.Optimizer
) -> None:
    model.train()
    for i, (x, y) in enumerate(loader):
        if i == TRAIN_BATCHES:  # a short epoch: the rest of the loader is left unread
            break
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()


def accuracy(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, torch.Tensor]]) -> float:
    model.eval()
    correct = seen = 0
    with torch.no_grad():
        for i, (x, y) in enumerate(loader):
            if i == VALID_BATCHES:
                break
            correct += (model(x).argmax(dim=1) == y).sum().item()
            seen += len(y)
    return correct / seen


def run(trial: optuna.Trial, root: Path) -> float:
    model = make_model(trial)
    optimizer = make_optimizer(trial, model)
    train_loader = make_loader(root, train=True)
    valid_loader = make_loader(root, train=False)
    value = 0.0
    for epoch in range(EPOCHS):
        train_epoch(model, train_loader, optimizer)
        value = accuracy(model, valid_loader)
        trial.report(value, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=options.seed))
    study.optimize(lambda trial: run(trial, options.root), n_trials=options.trials)
    states = Counter(trial.state.name.lower() for trial in study.trials)
    print(f"{states['complete']} complete, {states['pruned']} pruned, best {study.best_value:.4f} {study.best_params}")
    if options.out:
        found = {"trials": dict(states), "value": study.best_value, "params": study.best_params}
        options.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
