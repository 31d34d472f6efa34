"""Items that are dicts: which key is the target, which are inputs, and how several of them reach a model by name."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.config.schema import PythonData, PythonModel
from tuner.data.batches import Batch, eval_batches, train_batches
from tuner.data.info import DataInfo
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.errors import ConfigError, DataError
from tuner.models.build import build_model

CODE = """
import numpy as np
import torch
from torch import nn
from torch.utils import data

class Mine(data.Dataset):
    def __init__(self, n=40, as_pair=False):
        self.n, self.as_pair = n, as_pair
    def __len__(self):
        return self.n
    def __getitem__(self, i):
        inputs = {
            "picture": np.full((4, 5), i, dtype=np.uint8),
            "facts": torch.tensor([0.5 * i, 7.0]),
            "words": [i, 2**24 - 1],
            "age": float(i),
        }
        return (inputs, i % 2) if self.as_pair else {**inputs, "label": i % 2}

class Net(nn.Module):
    def __init__(self, input_shapes, n_outputs):
        super().__init__()
        self.linear = nn.Linear(input_shapes["facts"][0] + 1, n_outputs)
    def forward(self, picture, facts, words, age):
        assert picture.shape[1:] == (1, 4, 5) and words.dtype == torch.int64 and age.shape[1:] == (1,)
        return self.linear(torch.cat([facts, age], dim=1))

class OfOneDict(Net):
    def forward(self, batch):
        return super().forward(**batch)

class Other(Net):
    def forward(self, picture, text):
        return picture
"""


def load(folder: Path, code: str = "", **options: object) -> Prepared:
    (folder / "mine.py").write_text(CODE + textwrap.dedent(code))
    data = PythonData.model_validate({"kind": "python", "target": "mine.py:Mine", **options})
    return prepare(data, metric="accuracy", seed=5, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, code: str = "", **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, code, **options)
    return str(caught.value)


def batches(prepared: Prepared, num_workers: int = 0) -> list[Batch]:
    return list(
        train_batches(
            prepared.train,
            prepared.preprocess,
            batch_size=8,
            device="cpu",
            epoch_seed=1,
            num_workers=num_workers,
        )
    )


def model_of(folder: Path, name: str, info: DataInfo) -> torch.nn.Module:
    config = PythonModel(kind="python", target=f"mine.py:{name}")
    return build_model(config, info=info, n_outputs=2, base_dir=folder, seed=0)


def test_named_inputs_are_one_row_whether_stored_or_streamed(tmp_path: Path) -> None:
    stored, streamed = load(tmp_path), load(tmp_path, in_memory=False)
    assert stored.info.in_memory
    assert stored.info.input_shape == (20 + 2 + 2 + 1,)
    assert [(field.name, field.shape, field.dtype) for field in stored.info.inputs] == [
        ("picture", (1, 4, 5), "uint8"),
        ("facts", (2,), "float32"),
        ("words", (2,), "int64"),
        ("age", (1,), "float32"),
    ]
    assert DataInfo.from_json(stored.info.to_json()) == stored.info
    assert stored.preprocess == streamed.preprocess
    for other in (batches(streamed), batches(streamed, num_workers=1)):
        assert all(torch.equal(x, z) for (x, _), (z, _) in zip(batches(stored), other, strict=True))


def test_each_input_is_scaled_as_it_would_be_alone(tmp_path: Path) -> None:
    x = torch.cat([x for x, _ in batches(load(tmp_path))])
    assert x[:, :20].mean().item() == pytest.approx(0, abs=1e-6)
    assert x[:, :20].std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert x[:, 20].std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert torch.all(x[:, 21] == 0)  # constant
    assert torch.equal(x[:, 22].sort().values, x[:, 22].sort().values.round())  # whole numbers stay
    assert torch.all(x[:, 23] == 2**24 - 1)
    raw = torch.cat([x for x, _ in batches(load(tmp_path, normalize=False))])
    assert raw[:, :20].max().item() <= 39 / 255
    assert raw[:, 24].max().item() > 30


@pytest.mark.parametrize("name", ("Net", "OfOneDict"))
def test_a_model_gets_its_inputs_by_name_or_as_one_dict(tmp_path: Path, name: str) -> None:
    prepared = load(tmp_path)
    model = model_of(tmp_path, name, prepared.info)
    assert list(model.state_dict()) == ["linear.weight", "linear.bias"]
    assert model(batches(prepared)[0][0]).shape == (8, 2)


def test_a_forward_without_these_names_is_refused_with_both_lists(tmp_path: Path) -> None:
    info = load(tmp_path).info
    with pytest.raises(
        ConfigError, match=r"forward\(picture, text\) cannot .* picture, facts, words, age: .*input_keys"
    ):
        model_of(tmp_path, "Other", info)


def test_prediction_takes_dicts_of_batches_and_lists_of_items(tmp_path: Path) -> None:
    prepared = load(tmp_path, "items = Mine()", options={"as_pair": True})
    preprocess = Preprocess.from_json(prepared.preprocess.to_json())
    rows = np.load(next((tmp_path / "cache").glob("*/train_rows.npy")))
    items = [
        {
            "picture": np.full((4, 5), row, dtype=np.uint8),
            "facts": np.array([0.5 * row, 7.0], dtype=np.float32),
            "words": [row, 2**24 - 1],
            "age": float(row),
        }
        for row in rows.tolist()
    ]
    expected = torch.cat([x for x, _ in eval_batches(prepared.train, prepared.preprocess, device="cpu")])
    assert torch.equal(preprocess(items), expected)
    assert torch.equal(preprocess(items[3]), expected[3:4])
    assert torch.equal(preprocess({name: np.stack([item[name] for item in items]) for name in items[0]}), expected)
    one = {name: np.asarray(value)[None] for name, value in items[3].items()}
    assert torch.equal(preprocess(one), expected[3:4])
    with pytest.raises(DataError, match="input: no 'age'; expected a dict of picture, facts, words, age"):
        preprocess({name: value for name, value in items[0].items() if name != "age"})
    with pytest.raises(DataError, match=r"input: row 1: 'facts' is float32 \(3,\); expected float32 \(2,\)"):
        preprocess([items[0], {**items[1], "facts": np.zeros(3, np.float32)}])


def test_the_keys_of_input_and_target_can_be_named(tmp_path: Path) -> None:
    code = """
    class Mine(Mine):
        def __getitem__(self, i):
            return {"id": f"row {i}", "image": np.full((4, 4), i, dtype=np.uint8), "sex": i % 2, "y": 1.5}
    """
    prepared = load(tmp_path, code, target_key="sex", input_keys=["image"])
    assert (prepared.info.input_shape, prepared.info.inputs, prepared.info.n_targets) == ((1, 4, 4), (), 2)
    assert "no target; expected (x, y), or a dict with one of y, target, label, labels; name its key in" in refusal(
        tmp_path, code, input_keys=["image", "y"]
    )
    message = refusal(tmp_path, code, target_key="sex")
    assert "item 0: 'id': the input has values of type <U5" in message
    assert "name the keys that are inputs in data.input_keys" in message
    assert "a dict without 'gender', which data.target_key names; its keys are id, image, sex, y" in refusal(
        tmp_path, code, target_key="gender"
    )
    assert "a dict without 'picture', which data.input_keys names" in refusal(tmp_path, code, input_keys=["picture"])


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ('{"facts": torch.zeros(2 + (i == 9))}', "item 9: 'facts' is float32 (3,); expected float32 (2,), as the"),
        ('{"words": [i, 2**24 + 1]}', "item 0: 'words' has the whole number 16777217; named inputs take them up to"),
        ('{"age": float("nan") if i == 9 else 1.0}', "item 9: 'age': the input is nan at"),
        ('{"label": 0, "y": 1}', "item 0: a dict with y and label; say in data.target_key which is the target"),
    ),
)
def test_a_wrong_input_is_refused_with_its_item_and_name(tmp_path: Path, change: str, message: str) -> None:
    code = f"""
    class Mine(Mine):
        def __getitem__(self, i):
            return {{**super().__getitem__(i), **{change}}}
    """
    assert message in refusal(tmp_path, code)


@pytest.mark.parametrize(
    ("returned", "sizes"),
    (
        ("(Mine(30), Mine(10))", (27, 10, 3)),
        ("(Mine(30), Mine(10), Mine(5))", (30, 10, 5)),
        ("{'train': Mine(30), 'validation': Mine(10), 'test': Mine(5)}", (30, 10, 5)),
        ("data.random_split(Mine(40), [30, 10], torch.Generator().manual_seed(0))", (27, 10, 3)),
        ("data.ConcatDataset([data.Subset(Mine(40), range(20)), Mine(20)])", (32, 4, 4)),
        ("data.TensorDataset(torch.rand(40, 3), torch.arange(40) % 2)", (32, 4, 4)),
    ),
)
def test_a_function_may_return_what_torch_and_others_make_of_datasets(
    tmp_path: Path, returned: str, sizes: tuple[int, ...]
) -> None:
    info = load(tmp_path, f"def parts(): return {returned}", target="mine.py:parts").info
    assert (info.n_train, info.n_val, info.n_test) == sizes
