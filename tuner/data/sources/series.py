"""Series in a table: windows to forecast from, or whole series with a target each."""

from __future__ import annotations

from tuner.config.schema.series import SeriesData
from tuner.data.decoded import Decoded, Request
from tuner.data.sources import forecast, whole_series
from tuner.data.sources.series_table import files

__all__ = ["files", "read"]


def read(data: SeriesData, request: Request) -> Decoded:
    return forecast.read(data, request) if data.form == "windows" else whole_series.read(data, request)
