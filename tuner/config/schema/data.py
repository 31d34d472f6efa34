"""The table of data sources."""

from __future__ import annotations

from tuner.config.schema.arrays import ArrayData
from tuner.config.schema.audio import AudioData
from tuner.config.schema.huggingface import HuggingfaceData
from tuner.config.schema.images import EmnistData, FakeImages, ImageData, ImageFolderData, TorchvisionData
from tuner.config.schema.own_data import PythonData
from tuner.config.schema.series import SeriesData
from tuner.config.schema.sklearn_data import SklearnData, SklearnNamed
from tuner.config.schema.tables import CsvData, ParquetData
from tuner.config.schema.text import CharacterData, TextData

Images = ImageData | EmnistData | FakeImages | TorchvisionData | ImageFolderData
Texts = TextData | CharacterData
Data = (
    SklearnData
    | SklearnNamed
    | Images
    | CsvData
    | ParquetData
    | SeriesData
    | ArrayData
    | AudioData
    | Texts
    | HuggingfaceData
    | PythonData
)

DATA_KINDS: dict[str, type[Data]] = {
    "digits": SklearnData,
    "iris": SklearnData,
    "wine": SklearnData,
    "breast_cancer": SklearnData,
    "diabetes": SklearnData,
    "sklearn": SklearnNamed,
    "mnist": ImageData,
    "fashion_mnist": ImageData,
    "kmnist": ImageData,
    "qmnist": ImageData,
    "emnist": EmnistData,
    "cifar10": ImageData,
    "cifar100": ImageData,
    "svhn": ImageData,
    "fake": FakeImages,
    "torchvision": TorchvisionData,
    "image_folder": ImageFolderData,
    "csv": CsvData,
    "parquet": ParquetData,
    "series": SeriesData,
    "audio": AudioData,
    "npz": ArrayData,
    "tensors": ArrayData,
    "text": TextData,
    "huggingface": HuggingfaceData,
    "characters": CharacterData,
    "python": PythonData,
}
