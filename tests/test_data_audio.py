"""Sounds: wav files of every kind, what is computed from them, what prediction gets, and what is refused."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
from scipy.io import wavfile

from tuner.config.schema import MODEL_KINDS
from tuner.config.schema.audio import AudioData, Perturb
from tuner.config.sections import validate
from tuner.data.batches import eval_batches
from tuner.data.feed import Feed
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.data.sound_changes import SoundChanges
from tuner.data.sounds import SoundEncoder, cosines, mel_filters
from tuner.data.wav import read_wav
from tuner.errors import DataError, NotFoundError
from tuner.models.build import build_model, check_output

RATE = 8000


def tone(frequency: float, *, seconds: float = 0.25, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, (samples * 32767).astype(np.int16))
    return path


def folders(root: Path, names: Sequence[str] = ("low", "high"), n: int = 10) -> Path:
    for label, name in enumerate(names):
        for number in range(n):
            write(root / name / f"{number}.wav", tone(300 + 900 * label + 10 * number))
    return root


def prepared(base: Path, *, path: str = "sounds", metric: str = "accuracy", **options: object) -> Prepared:
    data = AudioData.model_validate({"path": path, **options})
    return prepare(data, metric=metric, seed=1, base_dir=base, cache_dir=base / "cache")


def refusal(base: Path, **options: Any) -> str:
    with pytest.raises((DataError, NotFoundError)) as caught:
        prepared(base, **options)
    return str(caught.value).replace(str(base.resolve()) + "/", "")


def stored(data: Prepared) -> np.ndarray:
    assert isinstance(data.train, ArrayPart)
    return data.train.inputs.numpy()


def encoder(**options: Any) -> SoundEncoder:
    return SoundEncoder(**{"rate": RATE, "n_samples": 2000, "channels": 1, "features": "mel", "n_fft": 256, **options})


# ---------------------------------------------------------------------------------------------------------- wav files


def _24_bit(path: Path, samples: np.ndarray) -> None:
    data = b"".join(struct.pack("<i", int(value * 8388607))[:3] for value in samples)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 3, 3, 24)
    body = b"WAVE" + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


@pytest.mark.parametrize("kind", ("uint8", "int16", "24 bits", "int32", "float32", "float64"))
def test_samples_of_every_width_are_read_alike(kind: str, tmp_path: Path) -> None:
    path, samples = tmp_path / "a.wav", tone(440)
    if kind == "24 bits":
        _24_bit(path, samples)
    elif kind == "uint8":
        wavfile.write(path, RATE, (samples * 127 + 128).astype(np.uint8))
    else:
        peak = 1.0 if kind.startswith("float") else np.iinfo(kind).max
        wavfile.write(path, RATE, (samples * peak).astype(kind))
    sound = read_wav(path)
    assert (sound.rate, sound.samples.shape, sound.samples.dtype) == (RATE, (1, 2000), np.float32)
    assert sound.samples[0] == pytest.approx(samples, abs=0.02 if kind == "uint8" else 1e-4)


def test_unknown_chunks_in_a_wav_file_are_passed_over(tmp_path: Path) -> None:
    content = write(tmp_path / "a.wav", tone(440)).read_bytes()
    extra = b"note" + struct.pack("<I", 4) + b"abcd"
    (tmp_path / "a.wav").write_bytes(
        content[:4] + struct.pack("<I", len(content) - 8 + 12) + content[8:36] + extra + content[36:]
    )
    assert read_wav(tmp_path / "a.wav").n_samples == 2000


# ----------------------------------------------------------------------------------------------------------- features


def test_bands_are_those_of_scipy_and_of_the_definition() -> None:
    samples = tone(700)[None, None].astype(np.float32)
    _, _, spectrum = scipy.signal.stft(
        samples[0, 0], nperseg=256, noverlap=128, window="hann", boundary="zeros", padded=False, scaling="psd", fs=1.0
    )
    power = np.abs(spectrum) ** 2
    found = np.exp(encoder(features="spectrogram", hop=128).computed(samples)[0, 0]) - 1e-6
    assert found.shape == (129, 16)
    assert found[:, :15] == pytest.approx(power[:, :15], abs=1e-5)
    mel = encoder(hop=128, n_mels=20).computed(samples)[0, 0]
    assert mel == pytest.approx(np.log(mel_filters(20, 256, RATE, 0.0, 4000.0).numpy() @ found + 1e-6), abs=1e-4)
    mfcc = encoder(hop=128, n_mels=20, features="mfcc", n_mfcc=13).computed(samples)[0, 0]
    assert mfcc == pytest.approx(scipy.fft.dct(mel, axis=0, norm="ortho")[:13], abs=1e-4)
    assert cosines(20, 20) @ cosines(20, 20).T == pytest.approx(torch.eye(20).numpy(), abs=1e-6)


def test_a_tone_is_loudest_in_the_band_of_its_frequency() -> None:
    centres = 700 * (10 ** (np.linspace(0, 2595 * math.log10(1 + 4000 / 700), 42)[1:-1] / 2595) - 1)
    for frequency in (500, 1000, 2000):
        bands = encoder(n_mels=40).encode(tone(frequency))[0, 0].mean(axis=1)
        assert abs(centres[bands.argmax()] - frequency) < 100


@pytest.mark.parametrize(
    ("options", "shape", "layout"),
    (
        ({"features": "waveform"}, (1, 2000), "channels_first"),
        ({"features": "spectrogram", "n_fft": 256}, (1, 129, 16), ""),
        ({"n_mels": 30}, (1, 30, 16), ""),
        ({"n_mels": 30, "hop": 100}, (1, 30, 21), ""),
        ({"features": "mfcc"}, (1, 20, 16), ""),
        ({"features": "mfcc", "layout": "sequence"}, (16, 20), "steps_first"),
        ({"layout": "sequence", "channels": 2}, (16, 80), "steps_first"),
        ({"features": "waveform", "seconds": 0.1, "sample_rate": 4000}, (1, 400), "channels_first"),
    ),
)
def test_what_a_model_sees_has_the_shape_of_its_features(
    options: dict[str, object], shape: tuple[int, ...], layout: str, tmp_path: Path
) -> None:
    folders(tmp_path / "sounds")
    data = prepared(tmp_path, **options)
    assert (data.info.input_shape, data.info.layout) == (shape, layout)
    assert (data.info.task, data.info.labels) == ("classification", ("high", "low"))


@pytest.mark.parametrize("features", ("waveform", "mel", "mfcc"))
@pytest.mark.parametrize("layout", ("image", "sequence"))
def test_inputs_are_scaled_by_the_training_sounds(features: str, layout: str, tmp_path: Path) -> None:
    if (features, layout) == ("waveform", "sequence"):
        return
    folders(tmp_path / "sounds")
    data = prepared(tmp_path, features=features, layout=layout)
    x = torch.cat([x for x, _ in eval_batches(data.train, data.preprocess, device="cpu")]).numpy()
    axes = (0, 1, 2) if features != "mfcc" or layout == "sequence" else (0, 1, 3)
    if features == "mfcc":
        axes = (0, 1, 3) if layout == "image" else (0, 1)
        assert x.mean(axis=axes) == pytest.approx(np.zeros(20), abs=1e-4)
        assert x.std(axis=axes) == pytest.approx(np.ones(20), abs=1e-3)
    else:
        assert (x.mean(), x.std()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-3))


# --------------------------------------------------------------------------------------------------- changes of sounds

SHAPES = ({"features": "waveform"}, {"channels": 2}, {"layout": "sequence"}, {"features": "mfcc"})


def changed(
    change: dict[str, float], options: dict[str, Any], *, raw: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [B, F, T] before and after a change."""
    changes = SoundChanges.of(Perturb.model_validate(change), encoder(**options))
    assert changes is not None
    x = torch.randn(50, *changes.encoder.shape, generator=torch.Generator().manual_seed(3))
    draws = changes.draw(7, 50)
    found = changes.before(x, draws) if raw else changes.after(x.clone(), draws)
    assert found.shape == x.shape
    assert found.is_contiguous()
    if options.get("layout") == "sequence":
        return x.swapaxes(1, 2), found.swapaxes(1, 2)
    return x.flatten(1, -2), found.flatten(1, -2)


@pytest.mark.parametrize("options", SHAPES)
def test_a_shift_rolls_a_sound_in_time(options: dict[str, Any]) -> None:
    before, after = changed({"shift": 0.5}, options)
    distances = set()
    for x, y in zip(before, after, strict=True):
        (steps,) = (n for n in range(x.shape[1]) if torch.equal(x.roll(n, dims=1), y))
        distances.add(steps)
    assert len(distances) > 3


def test_loudness_changes_samples_power_and_the_first_coefficient() -> None:
    samples = 0.2 * torch.randn(1, 1, 2000, generator=torch.Generator().manual_seed(0))
    for options in ({"features": "waveform"}, {"n_mels": 20}, {"features": "mfcc", "n_mels": 20, "n_mfcc": 10}):
        coder = encoder(**options)
        changes = SoundChanges.of(Perturb(gain=6.0), coder)
        assert changes is not None
        draws = changes.draw(1, 1)
        factor = 10 ** (float(draws[0, 1]) * 6.0 / 20)
        before, expected = (torch.from_numpy(coder.computed((x * samples).numpy())) for x in (1.0, factor))
        assert torch.allclose(changes.before(before, draws), expected, atol=1e-2)
        assert not torch.allclose(before, expected, atol=1e-2)


@pytest.mark.parametrize("options", SHAPES)
def test_noise_has_its_size_and_differs_from_row_to_row(options: dict[str, Any]) -> None:
    before, after = changed({"noise": 0.3}, options, raw=False)
    noise = after - before
    assert float(noise.std()) == pytest.approx(0.3, rel=0.1)
    assert len({round(float(row.flatten()[0]), 4) for row in noise}) > 40


@pytest.mark.parametrize("options", SHAPES)
def test_masks_blank_a_stretch_of_time_and_of_bands(options: dict[str, Any]) -> None:
    _, after = changed({"mask_time": 0.5}, options, raw=False)
    blank = (after == 0).all(dim=1)
    assert 0.15 < float(blank.float().mean()) < 0.35
    assert (blank.float().diff(dim=1).abs().sum(dim=1) <= 2).all()
    _, after = changed({"mask_bands": 0.5}, options, raw=False)
    assert ((after == 0).all(dim=2) == (after == 0).any(dim=2)).all()


def test_training_sounds_alone_are_changed_and_alike_for_the_same_epoch(tmp_path: Path) -> None:
    folders(tmp_path / "sounds")
    data = AudioData(path="sounds", perturb=Perturb(noise=0.5, shift=0.2, gain=3.0, mask_time=0.2), batch_size=4)
    plain = prepared(tmp_path)
    feed = Feed.of(plain, data, device=torch.device("cpu"), n_cores=1)
    assert feed.picked.endswith("augmented (shift and gain and noise and mask_time)")
    first, again, other = ([x for x, _ in feed.train(epoch_seed=seed)] for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    ((lanes, _), *_) = feed.train_lanes(epoch_seeds=[1, 2])
    assert torch.equal(lanes[0], first[0])
    assert torch.equal(lanes[1], other[0])
    (x, _), *_ = feed.val()
    assert torch.equal(x, next(iter(eval_batches(plain.val, plain.preprocess, device="cpu")))[0])


# ---------------------------------------------------------------------------------------------------- where sounds are


def test_folders_of_parts_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, n in (("train", 8), ("val", 3), ("test", 2)):
        folders(tmp_path / "sounds" / part, n=n)
    info = prepared(tmp_path).info
    assert (info.n_train, info.n_val, info.n_test) == (16, 6, 4)


def test_a_csv_names_files_and_their_classes_or_numbers(tmp_path: Path) -> None:
    folders(tmp_path / "clips")
    rows = [f"clips/{name}/{number}.wav,{name},{number}" for name in ("low", "high") for number in range(10)]
    (tmp_path / "list.csv").write_text("clip,kind,pitch\n" + "\n".join(rows))
    data = prepared(tmp_path, path="list.csv", file="clip", target="kind")
    assert (data.info.labels, data.info.n_train) == (("high", "low"), 16)
    assert prepared(tmp_path, path="list.csv", file="clip", target="pitch", metric="rmse").info.task == "regression"
    assert refusal(tmp_path, path="list.csv") == "list.csv: data.file: no column 'path'; it has clip, kind, pitch"
    (tmp_path / "clips/low/3.wav").unlink()
    message = refusal(tmp_path, path="list.csv", file="clip", target="kind")
    assert message == "list.csv:5: column 'clip': clips/low/3.wav: no such file"


def test_sounds_of_a_group_stay_together_and_a_column_can_name_the_parts(tmp_path: Path) -> None:
    folders(tmp_path / "clips")
    rows = [(f"clips/{name}/{n}.wav", name, f"p{n % 5}", n % 5) for name in ("low", "high") for n in range(10)]
    parts = {0: "val", 1: "test"}
    lines = [f"{path},{name},{who},{parts.get(part, 'train')}" for path, name, who, part in rows]
    (tmp_path / "list.csv").write_text("path,label,who,part\n" + "\n".join(lines))
    info = prepared(tmp_path, path="list.csv", split={"by": "column", "column": "part"}).info
    assert (info.n_train, info.n_val, info.n_test) == (12, 4, 4)
    info = prepared(tmp_path, path="list.csv", split={"by": "group", "column": "who", "val": 0.2, "test": 0.2}).info
    assert (info.n_train, info.n_val, info.n_test) == (12, 4, 4)
    message = refusal(tmp_path, path="clips", split={"by": "group", "column": "who"})
    assert message == "data.split.column: clips is a folder and has no columns; take a .csv of files and labels"


def test_shorter_sounds_get_silence_and_longer_ones_lose_their_ends(tmp_path: Path) -> None:
    folders(tmp_path / "sounds")
    write(tmp_path / "sounds" / "low" / "long.wav", np.concatenate([np.zeros(500), np.full(1000, 0.5), np.zeros(500)]))
    write(tmp_path / "sounds" / "low" / "short.wav", np.full(400, 0.5))
    options = {"features": "waveform", "seconds": 1000 / RATE, "normalize": False}
    data = prepared(tmp_path, **options)
    long, short = (data.preprocess(tmp_path / "sounds" / "low" / f"{name}.wav")[0, 0] for name in ("long", "short"))
    assert long.numpy() == pytest.approx(np.full(1000, 0.5), abs=1e-4)
    assert short.numpy() == pytest.approx(np.repeat([0.5, 0.0], [400, 600]), abs=1e-4)


def test_other_rates_are_refused_or_resampled(tmp_path: Path) -> None:
    folders(tmp_path / "sounds")
    write(tmp_path / "sounds" / "low" / "z.wav", tone(500, rate=16000), rate=16000)
    assert refusal(tmp_path) == (
        "sounds/low/z.wav: 16000 samples a second, " + str(tmp_path.resolve()) + "/sounds/high/0.wav has 8000; set"
        " data.sample_rate, such as 8000, and all are resampled"
    ).replace(str(tmp_path.resolve()) + "/", "")
    data = prepared(tmp_path, sample_rate=8000, features="waveform", normalize=False)
    found = data.preprocess(tmp_path / "sounds" / "low" / "z.wav")[0, 0].numpy()
    assert found[100:-100] == pytest.approx(tone(500)[100:-100], abs=0.01)


def test_other_numbers_of_channels_are_refused_or_mixed(tmp_path: Path) -> None:
    folders(tmp_path / "sounds")
    write(tmp_path / "sounds" / "low" / "z.wav", np.stack([tone(500), np.zeros(2000)], axis=1))
    assert refusal(tmp_path) == (
        "sounds/low/z.wav: 2 channels, sounds/high/0.wav has 1; set data.channels: 1 for the mean of them"
    )
    assert prepared(tmp_path, channels=1).info.input_shape[0] == 1
    assert prepared(tmp_path, channels=2).info.input_shape[0] == 2


# --------------------------------------------------------------------------------------------- what prediction is given


def test_prediction_takes_files_and_samples(tmp_path: Path) -> None:
    folders(tmp_path / "sounds")
    data = prepared(tmp_path)
    preprocess = Preprocess.from_json(data.preprocess.to_json())
    path = tmp_path / "sounds" / "low" / "4.wav"
    expected = preprocess(path)
    rate, samples = wavfile.read(path)
    floats = samples / 32768
    for source in (str(path), [path], samples, floats, floats[None], [floats], (rate, samples), torch.tensor(floats)):
        assert torch.allclose(preprocess(source), expected, atol=1e-4)
    assert preprocess([path, samples]).shape == preprocess(np.stack([floats, floats])).shape == (2, 1, 40, 16)
    assert preprocess((2 * rate, np.repeat(samples, 2))).shape == expected.shape


@pytest.mark.parametrize(
    ("source", "message"),
    (
        (["nowhere.wav"], r"row 0: nowhere.wav: no such file"),
        ([np.array([])], "row 0: no samples in it"),
        ([np.array([0.0, np.nan])], "row 0: sample 1 is not a finite number"),
        ([np.zeros((3, 100))], "row 0: 3 channels; expected 2"),
        ([np.array(["a"])], r"row 0: <U1 \(1,\); expected a wav file's path or samples"),
    ),
)
def test_what_is_no_sound_is_refused(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encoder(channels=2).encode(source)


# ---------------------------------------------------------------------------------------------------------- bad files


def test_every_broken_file_is_named(tmp_path: Path) -> None:
    root = folders(tmp_path / "sounds")
    whole = (root / "low" / "1.wav").read_bytes()
    (root / "low" / "1.wav").write_bytes(whole[:1000])
    (root / "low" / "2.wav").write_bytes(b"")
    (root / "low" / "3.wav").write_bytes(b"ID3 no wav at all" * 10)
    write(root / "low" / "4.wav", np.zeros(0))
    wavfile.write(root / "low" / "5.wav", RATE, np.array([0.0, np.inf], dtype=np.float32))
    lines = refusal(tmp_path).splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"sounds/low/{number}.wav" for number in (1, 2, 3, 4, 5)]
    assert all(line.endswith("; replace the file or remove it") for line in lines)


def test_folders_without_sounds_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("data.path sounds: no such folder or csv; looked in ")
    (tmp_path / "sounds").mkdir()
    assert refusal(tmp_path).startswith("sounds: no folders in it; expected a folder of wav files for each class")
    folders(tmp_path / "sounds", names=["low"])
    assert refusal(tmp_path).startswith("sounds: only one folder (low); expected a folder of wav files for each class")
    (tmp_path / "sounds" / "high").mkdir()
    (tmp_path / "sounds" / "high" / "1.mp3").write_bytes(b"x")
    assert refusal(tmp_path).startswith("sounds/high: no wav files in it (1 other files; convert them")
    (tmp_path / "note.txt").write_text("x")
    assert refusal(tmp_path, path="note.txt").startswith("note.txt: neither a folder nor a .csv")


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"f_max": 5000.0}, "data.f_max: 5000 Hz; 8000 samples a second hold frequencies to 4000 Hz"),
        ({"hop": 300, "n_fft": 256}, "data.hop: 300 samples leave some out between frames of 256"),
    ),
)
def test_options_that_do_not_fit_the_sounds_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    folders(tmp_path / "sounds")
    assert refusal(tmp_path, **options).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"features": "mfcc", "n_mfcc": 50}, "50 coefficients of 40 bands; at most n_mels"),
        ({"f_min": 300.0, "f_max": 200.0}, "must be above f_min (300), got 200"),
        ({"features": "waveform", "layout": "sequence"}, "sequence is for bands over time; waveform is always (C, L)"),
        (
            {"split": {"by": "time", "column": "t"}},
            "by: time is for tables; sounds in a csv can be split by: group or column",
        ),
        ({"augment": {"kind": "light"}}, "light is for images, and sounds are none; leave it out"),
    ),
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    found = validate(AudioData, {"kind": "audio", "path": "sounds", **options})
    assert isinstance(found, list)
    assert [fault.message for fault in found] == [message]


@pytest.mark.parametrize(
    ("kind", "options"),
    (
        ("convnet", {"features": "waveform"}),
        ("convnet", {"features": "mel"}),
        ("convnet", {"features": "mfcc", "layout": "sequence"}),
        ("recurrent", {"layout": "sequence"}),
        ("transformer", {"layout": "sequence"}),
        ("recurrent", {"features": "waveform"}),
        ("resnet", {"features": "mel"}),
    ),
)
def test_every_model_of_sounds_takes_their_features(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    folders(tmp_path / "sounds", n=5)
    data = prepared(tmp_path, seconds=0.05, **options)
    model = build_model(MODEL_KINDS[kind](), info=data.info, n_outputs=2, base_dir=tmp_path, seed=0)
    x, _ = next(iter(eval_batches(data.val, data.preprocess, device="cpu")))
    check_output(model, x, 2)
