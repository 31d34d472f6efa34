"""The model card of a trial that the user's own code trained."""

from __future__ import annotations

from tuner.config.schema import PythonTrain
from tuner.export.bundle import Bundle
from tuner.export.card_words import LICENCE, TO_FILL_IN


def render(bundle: Bundle) -> str:
    """Markdown: which code, how good by its own measure, and how to use what it left."""
    return "\n".join(
        [
            f"# {bundle.study}, trial {bundle.trial}",
            "",
            _summary(bundle),
            "",
            "## Metrics",
            "",
            "As the code measured them after that epoch; nothing was evaluated again. They chose it: optimistic.",
            "",
            "| metric | value |",
            "|---|---|",
            *(f"| {name} | {value:.6g} |" for name, value in bundle.metrics.items() if value is not None),
            "",
            "## Hyperparameters",
            "",
            "| parameter | value |",
            "|---|---|",
            *(f"| `{name}` | {value} |" for name, value in bundle.params.items()),
            "",
            "## Use",
            "",
            "`state.pt` is what the code yielded after that epoch, with NumPy's arrays as tensors; `model.pt`",
            "is its `model` alone, where that is a state_dict. Both load without any code:",
            "",
            "```python",
            "import torch",
            "",
            'state = torch.load("state.pt", weights_only=True)',
            "```",
            "",
            "## Intended use, data and limits",
            "",
            TO_FILL_IN.format(what="who should use it for what, the data, known failures; tuner knows none of them."),
            "",
            "## Licence",
            "",
            LICENCE,
            "",
            "## Made with",
            "",
            f"The code is in `code/`; the whole config in `bundle.json`. Seed {bundle.config.seed}; "
            + ", ".join(f"{name} {version}" for name, version in bundle.versions.items())
            + ".",
            "",
        ]
    )


def _summary(bundle: Bundle) -> str:
    train = bundle.config.train
    assert isinstance(train, PythonTrain)
    return (
        f"Trained by `{train.target}`, from a hyperparameter search by `{bundle.metric}`: {bundle.value:.6g} at epoch "
        f"{bundle.epoch}."
    )
