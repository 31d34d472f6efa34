"""The same search in Ray Tune with ASHA: trials are processes, two at a time with one core each.

    RAY_PYTHON benchmarks/peers/ray_tune.py --root FOLDER [--trials 40] [--workers 2] [--seed 0] [--out FILE.json]

Needs `ray[tune]` beside torch and torchvision, and is no part of the project: `benchmarks/search.py --ray-python` runs
it in an interpreter that has them. Space, epochs, batches and validation are those of handwritten.py; params are drawn
at random (Ray's default) and ASHA (grace period 1, reduction factor 3) ends trials early.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

EPOCHS = 10


def trainable(root: Path, peers: Path) -> Callable[[dict[str, Any]], None]:
    def train(config: dict[str, Any]) -> None:
        import sys

        import torch
        from ray import tune
        from torch import nn

        sys.path.insert(0, str(peers))
        from handwritten import accuracy, make_loader, train_epoch

        layers: list[nn.Module] = [nn.Flatten()]
        n_in = 28 * 28
        for i in range(config["n_layers"]):
            layers += [nn.Linear(n_in, config[f"width_{i}"]), nn.ReLU(), nn.Dropout(config[f"dropout_{i}"])]
            n_in = config[f"width_{i}"]
        model = nn.Sequential(*layers, nn.Linear(n_in, 10))
        optimizer = getattr(torch.optim, config["optimizer"])(model.parameters(), lr=config["lr"])
        train_loader = make_loader(root, train=True)
        valid_loader = make_loader(root, train=False)
        for _ in range(EPOCHS):
            train_epoch(model, train_loader, optimizer)
            tune.report({"accuracy": accuracy(model, valid_loader)})

    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    ray.init(num_cpus=options.workers, include_dashboard=False)
    space: dict[str, Any] = {
        "n_layers": tune.randint(1, 4),
        "optimizer": tune.choice(["Adam", "RMSprop", "SGD"]),
        "lr": tune.loguniform(1e-5, 1e-1),
    }
    for i in range(3):
        space[f"width_{i}"] = tune.randint(4, 129)
        space[f"dropout_{i}"] = tune.uniform(0.2, 0.5)
    with tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            tune.with_resources(trainable(options.root, Path(__file__).resolve().parent), {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                num_samples=options.trials,
                scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3),
            ),
            run_config=tune.RunConfig(storage_path=storage, verbose=0),
        )
        results = tuner.fit()
    best = results.get_best_result(metric="accuracy", mode="max", scope="last")
    epochs = [result.metrics["training_iteration"] for result in results if result.metrics]
    complete = sum(n_epochs == EPOCHS for n_epochs in epochs)
    states = {"complete": complete, "pruned": len(epochs) - complete}
    print(f"{states['complete']} complete, {states['pruned']} pruned, best {best.metrics['accuracy']:.4f}")
    if options.out:
        found = {"trials": states, "value": best.metrics["accuracy"], "params": best.config}
        options.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
