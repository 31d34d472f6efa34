"""Imported by the fork server before it forks a worker: what is heavy in training, and nothing that starts threads."""

import numpy as np  # noqa: F401
import torch  # noqa: F401

import tuner.execution.worker  # noqa: F401

# scikit-learn's metrics take as long to import as torch; every worker computes them.
import sklearn.metrics  # noqa: F401  isort: skip
