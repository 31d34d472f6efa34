"""The table of data sources."""

from __future__ import annotations

from tuner.config.schema.images import ImageData
from tuner.config.schema.own_data import PythonData
from tuner.config.schema.series import SeriesData
from tuner.config.schema.sklearn_data import SklearnData
from tuner.config.schema.tables import CsvData

Data = SklearnData | ImageData | CsvData | SeriesData | PythonData

DATA_KINDS: dict[str, type[Data]] = {
    "digits": SklearnData,
    "iris": SklearnData,
    "wine": SklearnData,
    "breast_cancer": SklearnData,
    "diabetes": SklearnData,
    "mnist": ImageData,
    "fashion_mnist": ImageData,
    "cifar10": ImageData,
    "csv": CsvData,
    "series": SeriesData,
    "python": PythonData,
}
