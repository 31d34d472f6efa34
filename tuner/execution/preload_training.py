"""Imported by the fork server of a search: what evaluation needs, and what the first step of an optimizer imports.

`torch.optim` imports torch's compiler when it first takes a step (3.3 s of CPU time, torch 2.15, 2-core x86 server), in
order to be left alone by it. Here that happens once a search instead of once a worker.
"""

import torch._dynamo  # noqa: F401

import tuner.execution.preload  # noqa: F401
