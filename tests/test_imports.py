"""What is imported when, and what the wheel carries."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "torchvision", "optuna", "sqlalchemy", "sklearn", "pandas"}
IMPORT_TUNER = "import tuner"
ENTRY_POINT = """
import sys
from tuner.cli.main import main
sys.argv = ["tuner", "--help"]
try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
"""


def _heavy_modules_after(code: str, cwd: Path) -> set[str]:
    """Run `code` in a fresh process, outside the repository; return which of HEAVY it left loaded."""
    report = "\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + report], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def test_the_probe_sees_a_heavy_import(tmp_path: Path) -> None:
    assert _heavy_modules_after("import sqlalchemy", tmp_path) == {"sqlalchemy"}


def test_importing_tuner_imports_nothing_heavy(tmp_path: Path) -> None:
    assert _heavy_modules_after(IMPORT_TUNER, tmp_path) == set()


def test_the_sections_of_all_kinds_are_read_without_anything_heavy(tmp_path: Path) -> None:
    assert _heavy_modules_after("from tuner.config.jsonschema import json_schema\njson_schema()", tmp_path) == set()


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    assert _heavy_modules_after(ENTRY_POINT, tmp_path) == set()


WORKER = """
from pathlib import Path
from tuner.config.spec import find_file, load
from tuner.execution.protocol import PrepareRequest
from tuner.execution.runner import Runner
from tuner.training.events import Decision
from tuner.training.job import TrainJob

spec = load(find_file("mlp.yaml"), sets=["train.epochs=1"], overrides={})
here = Path.cwd()
runner = Runner(lambda: False)
options = {"config": spec.base, "base_dir": here, "threads": 1, "seed": 0}
runner.prepare(PrepareRequest(metric=METRIC, data_dir=here / "data", **options))
job = TrainJob(trial=0, attempt=1, metric="val/" + METRIC, maximize=True, checkpoints=(), folder=here / "0",
               device="cpu", **options)
if TRAINS:
    run = runner.run(job)
    assert "val/accuracy" in next(run).metrics
"""


def test_a_worker_that_decoded_digits_and_trained_an_epoch_has_imported_nothing_heavy_but_torch(tmp_path: Path) -> None:
    assert _heavy_modules_after(f"METRIC, TRAINS = 'accuracy', True{WORKER}", tmp_path) == {"torch"}


def test_scikit_learn_is_there_before_the_first_epoch_where_the_objective_needs_it(tmp_path: Path) -> None:
    assert _heavy_modules_after(f"METRIC, TRAINS = 'roc_auc', False{WORKER}", tmp_path) >= {"torch", "sklearn"}


def test_python_m_tuner_prints_the_same_help_as_the_command(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("tuner")
    outputs = [
        subprocess.run([*start, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for start in ([str(command)], [sys.executable, "-m", "tuner"])
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("Usage: tuner ")
    assert "search" in outputs[0]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a freshly built wheel by name."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_carries_the_shipped_search_spaces(wheel: dict[str, bytes]) -> None:
    folder = ROOT / "search_spaces"
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    shipped = {f"tuner/search_spaces/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files}
    assert {"tuner/search_spaces/mlp.yaml", "tuner/search_spaces/templates/own_model.py"} <= set(shipped)
    assert {name: content for name, content in wheel.items() if "/search_spaces/" in name} == shipped


def test_the_wheel_carries_every_module(wheel: dict[str, bytes]) -> None:
    # .gitignore names data folders, and a build leaves out what is ignored: tuner/data must not be.
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tuner").rglob("*.py")}
    assert "tuner/data/__init__.py" in modules
    assert modules <= set(wheel)


def test_the_wheel_says_that_it_is_typed_and_carries_its_license(wheel: dict[str, bytes]) -> None:
    assert "tuner/py.typed" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
