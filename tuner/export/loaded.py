"""Exports as models: `tuner.load`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuner.config.code import targets_to_load
from tuner.data.batches import evaluation_batch_size
from tuner.data.lengths import without_padding
from tuner.data.preprocess import Preprocess
from tuner.data.tokens import CharacterEncoder
from tuner.errors import UsageError
from tuner.export.bundle import CODE, WEIGHTS, Bundle
from tuner.export.language import continuation, next_probabilities
from tuner.export.rebuilding import as_given
from tuner.models.build import build_model
from tuner.optim.losses import LossFunction, build_loss
from tuner.training.predictions import AS_LIKELY_AS_NOT

Label = str | int
LARGEST = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """An exported model, ready to predict."""

    module: nn.Module
    """In evaluation mode, on the CPU; takes preprocessed inputs [B, *input shape]."""
    labels: tuple[Label, ...]
    """The classes by index, as `predict` gives them: whole numbers, or False and True, where all are written as such,
    else their names. The names of multilabel columns, or a language model's characters; empty for regression.
    """
    bundle: Bundle
    preprocess: Preprocess
    loss: LossFunction

    def predict_proba(self, x: Any) -> np.ndarray:
        """Class probabilities [N, K]; for multilabel those of each label, for language of each position [N, L, K].

        For regression the predictions [N, targets], for autoencoding the reconstructions of the preprocessed inputs
        [N, *input shape].

        Of a language model of characters those of the one after each text, by `labels`; of others [N, L, K].
        `x` is N rows as the source gives them. They are predicted in the batches of the evaluation, to the same bits.
        """
        if isinstance(self.preprocess.encoder, CharacterEncoder):
            return next_probabilities(self.module, self.loss, self.preprocess, x)
        inputs = self.preprocess(x)
        padding = self.preprocess.padding
        parts = torch.split(inputs, evaluation_batch_size(self.preprocess.input_shape))
        task = self.bundle.data.task
        if padding is not None and task != "language":  # there every row keeps its length
            parts = tuple(without_padding(part_BL, padding) for part_BL in parts)
        with torch.inference_mode():
            outputs = [self.loss.probabilities(self.module(part_B).float()) for part_B in parts]
        probabilities = torch.cat(outputs)
        if task == "autoencoding":
            probabilities = probabilities.reshape(inputs.shape)
        array: np.ndarray = probabilities.numpy()
        return array

    def predict(self, x: Any) -> np.ndarray:
        """Classes [N], each one of `labels`; for regression predictions [N, targets].

        For multilabel 0 or 1 for each label [N, K], as scikit-learn has it (`labels` names the columns); for
        autoencoding the inputs as rebuilt, images in pixel values, the columns of tables as preprocessed: [N, *input
        shape], or with the axes of an array that they were given as. Of a language model of characters the likeliest
        after each text; of others the likeliest tokens [N, L].
        """
        scores = self.predict_proba(x)
        task = self.bundle.data.task
        if task == "regression":
            return scores
        if task == "multilabel":
            return (scores > AS_LIKELY_AS_NOT).astype(np.int64)
        if task == "autoencoding":
            scaling = self.preprocess.scaling
            return as_given(scores if scaling is None else scaling.undone(torch.from_numpy(scores)).numpy(), x)
        if not self.labels:
            likeliest: np.ndarray = scores.argmax(axis=-1)
            return likeliest
        classes: np.ndarray = np.array(self.labels)[scores.argmax(axis=1)]
        return classes

    def generate(self, prompt: str, n: int, *, temperature: float = 1.0, seed: int = 0) -> str:
        """`n` characters that a language model puts behind a text; a temperature of 0 takes the likeliest each time."""
        if not isinstance(self.preprocess.encoder, CharacterEncoder):
            raise UsageError(f"generate is for data: {{kind: characters}}; this model is for {self.bundle.data.task}")
        return continuation(self.module, self.loss, self.preprocess, prompt, n, temperature=temperature, seed=seed)


def labels_of(names: tuple[str, ...]) -> tuple[Label, ...]:
    """Classes by their names, as scikit-learn's `classes_` has them of a column with these values."""
    if all(_is_whole(name) for name in names):
        return tuple(int(name) for name in names)
    return tuple(name == "True" for name in names) if set(names) == {"False", "True"} else names


def _is_whole(name: str) -> bool:
    """Whether it is written as an int64 is: 10, but neither 010 nor 10.0."""
    return name.removeprefix("-").isdecimal() and str(int(name)) == name and abs(int(name)) < LARGEST


def _labels(bundle: Bundle, preprocess: Preprocess) -> tuple[Label, ...]:
    if isinstance(preprocess.encoder, CharacterEncoder):
        return preprocess.encoder.tokens.names
    names = bundle.data.labels
    return names if bundle.data.task == "multilabel" else labels_of(names)


def load(path: str | Path, *, allow_code: bool = False) -> LoadedModel:
    """Load an export.

    Raises NotFoundError when there is none, VerificationError when a file was changed, UsageError when the config names
    the user's own code and `allow_code` is not given: with it that code is imported and run.
    """
    folder = Path(path)
    bundle = Bundle.read(folder)
    if bundle.config.is_own_training:
        raise UsageError(
            f"{folder}: its model was built by your own training code, and only that can build it again: "
            f"take its state, torch.load({str(folder / 'state.pt')!r}, weights_only=True)"
        )
    targets = targets_to_load(bundle.config)
    if targets and not allow_code:
        raise UsageError(
            f"{folder}: this model needs code to be run ({', '.join(targets)}); "
            "if you trust it, load it with tuner.load(path, allow_code=True)"
        )
    loss = build_loss(bundle.config.loss, bundle.data, base_dir=folder / CODE)
    module = build_model(
        bundle.config.model,
        info=bundle.data,
        n_outputs=bundle.n_outputs,
        base_dir=folder / CODE,
        seed=0,
        is_restored=True,
    )
    module.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    preprocess = Preprocess.from_json(dict(bundle.preprocess))
    return LoadedModel(
        module=module.eval(),
        labels=_labels(bundle, preprocess),
        bundle=bundle,
        preprocess=preprocess,
        loss=loss,
    )
