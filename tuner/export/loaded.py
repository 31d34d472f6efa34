"""Exports as models: `tuner.load`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tuner.config.code import targets_to_load
from tuner.data.batches import evaluation_batch_size
from tuner.data.global_rng import seeded
from tuner.data.lengths import without_padding
from tuner.data.preprocess import Preprocess
from tuner.data.tables import TableEncoder
from tuner.data.tokens import CharacterEncoder
from tuner.errors import NotFoundError, UsageError, VerificationError
from tuner.export.bundle import BUNDLE, CODE, WEIGHTS, Bundle, sha256_of
from tuner.export.inputs import table_in
from tuner.export.language import continuation, next_probabilities
from tuner.export.rebuilding import as_given
from tuner.models.build import build_model
from tuner.optim.losses import build_loss
from tuner.training.evaluate import SEED
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
    network: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Of preprocessed inputs the module's outputs, and what `predict_proba` gives."""
    keeps_padding: bool = False
    """Whether batches must be as long as in training at most; else they are cut to their longest row."""

    def predict_proba(self, x: Any) -> np.ndarray:
        """Class probabilities [N, K]; for multilabel those of each label, for language of each position [N, L, K].

        For regression the predictions [N, targets], for autoencoding the reconstructions of the preprocessed inputs
        [N, *input shape].

        Of a language model of characters those of the one after each text, by `labels`; of others [N, L, K].
        `x` is N rows as the source gives them, or the path of a file of them for tables. They are predicted in the
        batches of the evaluation, to the same bits.
        """
        if isinstance(self.preprocess.encoder, CharacterEncoder):
            return next_probabilities(self.score, self.preprocess, x)
        inputs = self.preprocess(self._read(x))
        padding = self.preprocess.padding
        parts = torch.split(inputs, self.batch_size)
        task = self.bundle.data.task
        if padding is not None and task != "language" and not self.keeps_padding:  # there every row keeps its length
            parts = tuple(without_padding(part_BL, padding) for part_BL in parts)
        with torch.inference_mode(), seeded(SEED):  # as the evaluation is
            outputs = [self.score(part_B) for part_B in parts]
        probabilities = torch.cat(outputs)
        if task == "autoencoding":
            probabilities = probabilities.reshape(inputs.shape)
        array: np.ndarray = probabilities.numpy()
        return array

    def _read(self, x: Any) -> Any:
        """The rows of a table where its path is given: read as that of the training was."""
        encoder, data = self.preprocess.encoder, self.bundle.config.data
        if isinstance(x, (str, Path)) and isinstance(encoder, TableEncoder) and data is not None:
            return table_in(Path(x), encoder, data)
        return x

    def score(self, x_B: Tensor) -> Tensor:
        """What `predict_proba` gives, of a batch of preprocessed inputs."""
        return self.network(x_B)[1]

    @property
    def batch_size(self) -> int:
        """Rows that the evaluation takes at once."""
        return evaluation_batch_size(self.preprocess.input_shape)

    def predict(self, x: Any) -> np.ndarray:
        """Classes [N], each one of `labels`; for regression predictions [N, targets].

        For multilabel 0 or 1 for each label [N, K], as scikit-learn has it (`labels` names the columns); for
        autoencoding the inputs as rebuilt, images in pixel values, the columns of tables as preprocessed: [N, *input
        shape], or with the axes of an array that they were given as. Of a language model of characters the likeliest
        after each text; of others the likeliest tokens [N, L].
        """
        found = self.decided(self.predict_proba(x))
        return as_given(found, x) if self.bundle.data.task == "autoencoding" else found

    def decided(self, scores: np.ndarray) -> np.ndarray:
        """What `predict` makes of what `predict_proba` gave."""
        task = self.bundle.data.task
        if task == "regression":
            return scores
        if task == "multilabel":
            return (scores > AS_LIKELY_AS_NOT).astype(np.int64)
        if task == "autoencoding":
            scaling = self.preprocess.scaling
            return scores if scaling is None else scaling.undone(torch.from_numpy(scores)).numpy()
        if not self.labels:
            likeliest: np.ndarray = scores.argmax(axis=-1)
            return likeliest
        classes: np.ndarray = np.array(self.labels)[scores.argmax(axis=1)]
        return classes

    def generate(self, prompt: str, n: int, *, temperature: float = 1.0, seed: int = 0) -> str:
        """`n` characters that a language model puts behind a text; a temperature of 0 takes the likeliest each time."""
        if not isinstance(self.preprocess.encoder, CharacterEncoder):
            raise UsageError(f"generate is for data: {{kind: characters}}; this model is for {self.bundle.data.task}")
        return continuation(self.score, self.preprocess, prompt, n, temperature=temperature, seed=seed)


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
    """Load an export: a folder, or a file in one of the formats.

    Raises NotFoundError when there is none, VerificationError when a file was changed, UsageError when the config names
    the user's own code and `allow_code` is not given: with it that code is imported and run. MissingError when a
    package is missing that reads the format.
    """
    from tuner.export.formats import FORMATS, require  # they are made of what is here

    place = Path(path)
    if not place.is_file():
        return load_folder(place, allow_code=allow_code)
    by_suffix = {Path(form.file).suffix: name for name, form in FORMATS.items()}
    name = by_suffix.get(place.suffix)
    if name is None:
        known = ", ".join(by_suffix)
        raise UsageError(f"{place}: no model; expected the folder of an export, or a file {known} of one")
    if name == "pt" and not (place.parent / BUNDLE).is_file():
        raise NotFoundError(f"{place}: weights alone: what they belong to is in the {BUNDLE} that was beside them")
    form = FORMATS[name]
    require(name, [form.reader] if form.reader else [])
    _refuse_changed(place)
    return form.open(place, allow_code)


def _refuse_changed(path: Path) -> None:
    """VerificationError when the export that a file lies in says that it was another; elsewhere it stands alone."""
    try:
        files = json.loads((path.parent / BUNDLE).read_text(encoding="utf-8"))["files"]
        known = files.get(path.name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    if known is not None and sha256_of(path) != known:
        raise VerificationError(f"{path}: changed since it was exported; export it again")


def load_folder(folder: Path, *, allow_code: bool = False) -> LoadedModel:
    """Load the weights of an export's folder into the model that its config describes.

    Raises NotFoundError when there is none, VerificationError when a file was changed, UsageError when the config names
    the user's own code and `allow_code` is not given: with it that code is imported and run.
    """
    bundle = Bundle.read(folder)
    refuse_code(bundle, folder, allow_code=allow_code)
    weights = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    return restored(bundle, weights, code=folder / CODE)


def refuse_code(bundle: Bundle, place: Path, *, allow_code: bool) -> None:
    """UsageError when the model cannot be built without code that nobody allowed to be run."""
    if bundle.config.is_own_training:
        raise UsageError(
            f"{place}: its model was built by your own training code, and only that can build it again: "
            f"take its state, torch.load({str(place / 'state.pt')!r}, weights_only=True)"
        )
    targets = targets_to_load(bundle.config)
    if targets and not allow_code:
        raise UsageError(
            f"{place}: this model needs code to be run ({', '.join(targets)}); "
            "if you trust it, load it with tuner.load(path, allow_code=True)"
        )


def restored(bundle: Bundle, weights: Mapping[str, Tensor], *, code: Path) -> LoadedModel:
    """The model that a bundle describes, with its weights; the user's own files are in the folder `code`."""
    loss = build_loss(bundle.config.loss, bundle.data, base_dir=code)
    module = build_model(
        bundle.config.model, info=bundle.data, n_outputs=bundle.n_outputs, base_dir=code, seed=0, is_restored=True
    )
    module.load_state_dict(weights)
    return loaded(bundle, module.eval(), Network(module, loss.probabilities))


class Network(nn.Module):
    """A module and what makes scores of its outputs, in evaluation mode; in formats that hold a graph it is both."""

    def __init__(self, module: nn.Module, finish: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.module = module
        self.finish = finish
        self.eval()

    def forward(self, x_B: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.module(x_B).float()
        return outputs, self.finish(outputs)


def loaded(
    bundle: Bundle,
    module: nn.Module,
    network: Callable[[Tensor], tuple[Tensor, Tensor]],
    *,
    keeps_padding: bool = False,
) -> LoadedModel:
    """A module, and what makes outputs and scores of inputs, with the preprocessing and the labels of a bundle."""
    preprocess = Preprocess.from_json(dict(bundle.preprocess))
    return LoadedModel(
        module=module,
        labels=_labels(bundle, preprocess),
        bundle=bundle,
        preprocess=preprocess,
        network=network,
        keeps_padding=keeps_padding,
    )
