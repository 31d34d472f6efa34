"""What training minimises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tuner.config.schema.base import NonNegative, Positive, Section, Smoothing, as_tuple

Weights = Annotated[Literal["none", "balanced"] | tuple[NonNegative, ...], BeforeValidator(as_tuple)]
"""balanced: rows / (classes * rows of the class), of the training part, as scikit-learn has it; or one a class."""


class AutoLoss(Section):
    """cross_entropy for classes and tokens, bce_with_logits for several labels at once, mse for numbers."""

    kind: Literal["auto"] = "auto"
    label_smoothing: Smoothing = 0.0
    class_weights: Weights = "none"


class CrossEntropy(Section):
    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Smoothing = 0.0
    class_weights: Weights = "none"


class Nll(Section):
    """Negative log-likelihood, of models that return log-probabilities (a last layer of LogSoftmax) or logits."""

    kind: Literal["nll"] = "nll"
    class_weights: Weights = "none"


class Bce(Section):
    """Binary cross entropy on one logit, for two classes, or on one a label, for several labels at once."""

    kind: Literal["bce"] = "bce"
    label_smoothing: Smoothing = 0.0


class BceWithLogits(Section):
    """The same, with weights of what is there."""

    kind: Literal["bce_with_logits"] = "bce_with_logits"
    label_smoothing: Smoothing = 0.0
    pos_weight: Annotated[Literal["none", "balanced"] | Positive | tuple[Positive, ...], BeforeValidator(as_tuple)] = (
        "none"
    )
    """Weight of class 1, or of each label where it is there; balanced: rows without it / rows with it."""


class Focal(Section):
    """Cross entropy that leaves out what is easy: times (1 - probability of the right answer) ** gamma."""

    kind: Literal["focal"] = "focal"
    gamma: NonNegative = 2.0
    alpha: Annotated[
        Literal["none", "balanced"] | Annotated[float, Field(ge=0.0, le=1.0)] | tuple[NonNegative, ...],
        BeforeValidator(as_tuple),
    ] = "none"
    """Weights of the classes; one number is that of class 1, and of labels that are there, the others have the rest."""


class Hinge(Section):
    """Multi-class margin loss: the right class has to lead all others by the margin."""

    kind: Literal["hinge"] = "hinge"
    p: Literal[1, 2] = 1
    margin: Positive = 1.0
    class_weights: Weights = "none"


class Mse(Section):
    kind: Literal["mse"] = "mse"


class L1(Section):
    """The mean absolute error."""

    kind: Literal["l1"] = "l1"


class Huber(Section):
    """Squared up to `delta`, absolute beyond it; in deviations of the target where `data.scale_targets` scales it."""

    kind: Literal["huber"] = "huber"
    delta: Positive = 1.0


class Poisson(Section):
    """Poisson negative log-likelihood of counts; predictions are the expected counts."""

    kind: Literal["poisson"] = "poisson"
    log_input: bool = True
    """Whether the model returns the logarithm of the expected count."""
    full: bool = False
    """Whether to add Stirling's approximation, which changes no gradient."""


class PythonLoss(Section):
    """A user's own: a class whose objects, or a function which, is called with (outputs, targets) -> one number."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """Keyword arguments of the class or the function; searchable as `loss.options.NAME`."""
    outputs: Literal["auto", "logits", "log_probabilities", "probabilities", "values"] = "auto"
    """What the model returns; auto: values for numbers, else logits."""


AUTO_LOSS = {
    "classification": "cross_entropy",
    "regression": "mse",
    "multilabel": "bce",
    "autoencoding": "mse",
    "language": "cross_entropy",
}
"""What the kind `auto` is for each task."""

Loss = AutoLoss | CrossEntropy | Nll | Bce | BceWithLogits | Focal | Hinge | Mse | L1 | Huber | Poisson | PythonLoss
LOSS_KINDS: dict[str, type[Loss]] = {
    "auto": AutoLoss,
    "cross_entropy": CrossEntropy,
    "nll": Nll,
    "bce": Bce,
    "bce_with_logits": BceWithLogits,
    "focal": Focal,
    "hinge": Hinge,
    "mse": Mse,
    "l1": L1,
    "huber": Huber,
    "poisson": Poisson,
    "python": PythonLoss,
}
