"""Imported by the fork server before it forks a worker: what training needs, and nothing that starts threads."""

import atexit
import os
import shutil

import numpy as np  # noqa: F401
import torch  # noqa: F401

import tuner.execution.worker  # noqa: F401
from tuner.execution.forkserver import FOLDER_VARIABLE

# A driver that is killed cannot remove the folder; the server sees the end of its driver and leaves in good order.
# Workers do not get here: they are forked, and leave by os._exit.
if FOLDER_VARIABLE in os.environ:
    atexit.register(shutil.rmtree, os.environ.pop(FOLDER_VARIABLE), ignore_errors=True)
