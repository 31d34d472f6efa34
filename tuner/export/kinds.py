"""What files are by their names, and which of them a model can predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner.data.encoders import ImageEncoder, TensorEncoder
from tuner.data.named import NamedEncoder
from tuner.data.preprocess import Encoder
from tuner.data.sounds import SoundEncoder
from tuner.data.sources.array_files import NPY, NPZ
from tuner.data.sources.image_folder import EXTENSIONS
from tuner.data.sources.sound_files import WAV
from tuner.data.tables import TableEncoder
from tuner.data.tokens import CharacterEncoder, TextEncoder
from tuner.data.windows import WindowEncoder
from tuner.errors import DataError

TABLES = (".csv", ".tsv", ".parquet")
LINES = (".txt",)
JSON_LINES = (".jsonl", ".ndjson")
ARRAYS = (NPZ, NPY, ".pt", ".pth")

SUFFIXES = {
    "an image": EXTENSIONS,
    "a table": TABLES,
    "a text file": LINES,
    "JSON lines": JSON_LINES,
    "a sound": WAV,
    "arrays": ARRAYS,
}


def kind_of(path: Path) -> str:
    """What a file is by its name, that of a compressed one included; empty where the name does not tell."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return next((kind for kind, known in SUFFIXES.items() for suffix in reversed(suffixes) if suffix in known), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a model takes."""

    kinds: tuple[str, ...]
    words: str
    has_folders: bool = False


_TEXTS = Taken(
    kinds=("a text file", "JSON lines", "a table", "arrays"),
    words="texts: .txt files, or .csv, .tsv, .jsonl or .parquet with a column of them",
    has_folders=True,
)
TAKEN: dict[type[Encoder], Taken] = {
    ImageEncoder: Taken(
        kinds=("an image", "arrays"),
        words="images: files such as .png and .jpg, folders of them, or arrays (.npz, .npy, .pt)",
        has_folders=True,
    ),
    TableEncoder: Taken(
        kinds=("a table", "arrays"), words="tables: .csv, .tsv or .parquet, or arrays (.npz, .npy, .pt)"
    ),
    WindowEncoder: Taken(
        kinds=("a table", "arrays"), words="series: .csv, .tsv or .parquet, or arrays (.npz, .npy, .pt)"
    ),
    TextEncoder: _TEXTS,
    CharacterEncoder: _TEXTS,
    SoundEncoder: Taken(
        kinds=("a sound", "arrays"),
        words="sounds: .wav files, folders of them, or arrays (.npz, .npy, .pt)",
        has_folders=True,
    ),
    TensorEncoder: Taken(kinds=("arrays",), words="arrays: .npz, .npy or .pt"),
    NamedEncoder: Taken(kinds=("arrays",), words="arrays by name: .npz or .pt"),
}


def refuse_other_kinds(paths: tuple[Path, ...], encoder: Encoder) -> None:
    """DataError for the first file that the model cannot predict, going by its name."""
    taken = TAKEN[type(encoder)]
    for path in paths:
        if path.is_dir():
            if not taken.has_folders:
                raise DataError(f"{path}: a folder; this model takes {taken.words}")
        elif (kind := kind_of(path)) and kind not in taken.kinds:
            raise DataError(f"{path}: {kind}; this model takes {taken.words}")
