"""A config on one batch before it is trained: whether its parts fit the data and each other.

B batch.
"""

from __future__ import annotations

import logging

import torch
from torch import nn

from tuner.config.schema import PythonModel
from tuner.config.schema.losses import PythonLoss
from tuner.data.batches import eval_batches
from tuner.data.feed import check_feed
from tuner.data.info import DataInfo
from tuner.data.prepare import Prepared
from tuner.device import precision_of, resolve
from tuner.errors import ConfigError, TunerError
from tuner.execution.failures import short
from tuner.execution.protocol import PrepareRequest
from tuner.models.build import build_model, check_output
from tuner.optim.groups import groups_of
from tuner.optim.losses import LossFunction, build_loss, check_counts, check_mixed_targets
from tuner.optim.optimizers import build_update
from tuner.registry import target_file
from tuner.seeding import derive
from tuner.training.defined import undefined_on
from tuner.training.evaluate import Own, predict
from tuner.training.own_errors import OwnCodeError

_log = logging.getLogger("tuner")


def try_out(request: PrepareRequest, prepared: Prepared, what: str = "the base config") -> None:
    """Build the model, loss and optimizer of the request's config, and look at the shape of one output.

    Errors of the user's own code are left to the trials, which report them with their traceback; what can be said with
    certainty (a shape, a loss that does not fit) raises a TunerError here.
    """
    config = request.config
    device = torch.device("cpu")
    for precision in (config.train.precision, *request.precisions):
        precision_of(precision, resolve(config.train.device))
    refuse_undefined(request, prepared)
    loss = build_loss(config.loss, prepared.info, base_dir=request.base_dir)
    check_counts(config.loss, prepared.train.targets)
    check_mixed_targets(config.data.augment, config.loss, prepared.info)
    check_feed(prepared, config.data)
    if isinstance(config.model, PythonModel):
        target_file(config.model.target, request.base_dir)
    x_B, y_B = next(iter(eval_batches(prepared.val, prepared.preprocess, device=device, limit=1)))
    try:
        model = build_model(
            config.model,
            info=prepared.info,
            n_outputs=loss.n_outputs(prepared.info),
            base_dir=request.base_dir,
            seed=derive(request.seed, "try-out"),
        )
        is_language = prepared.info.task == "language"
        check_output(model, x_B[:2], loss.n_outputs(prepared.info), per_token=is_language)
        if isinstance(config.loss, PythonLoss):
            loss(model(x_B[:2]), y_B[:2])
    except TunerError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's own code: its trials will report it with its place
        _log.warning("%s does not run: %s", what, short(error))
        return
    _try_metrics(request, model, (x_B, y_B), loss, prepared.info)
    groups = groups_of(model, config.optimizer, config.model.lr_scales())
    build_update(config.optimizer, groups, device, base_dir=request.base_dir)


def refuse_undefined(request: PrepareRequest, prepared: Prepared, where: str = "") -> None:
    """Metrics that no prediction could have a value of, on these validation rows: every trial would be in vain."""
    for name in request.metrics:
        if reason := undefined_on(name, prepared.info, prepared.val.targets):
            raise ConfigError(f"{where}{reason}")


def _try_metrics(
    request: PrepareRequest,
    model: nn.Module,
    batch: tuple[torch.Tensor, torch.Tensor],
    loss: LossFunction,
    info: DataInfo,
) -> None:
    """Call the user's own metrics once, on a batch of validation rows and an untrained model."""
    if not request.recorded.own:
        return
    own = Own(functions=request.recorded.own, base_dir=request.base_dir)
    try:
        own.values(predict(model, [batch], loss, info), info)
    except OwnCodeError as error:
        raise ConfigError(str(error)) from error
