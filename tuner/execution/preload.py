"""Imported by the fork server before it forks a worker: what training needs, and nothing that starts threads."""

import numpy as np  # noqa: F401
import torch  # noqa: F401

import tuner.execution.worker  # noqa: F401
