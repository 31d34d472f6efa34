"""The checksums by which a changed code of the user's own is noticed before a study goes on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tuner.config.code import fingerprints


def test_a_module_that_an_own_file_imports_is_a_part_of_its_code(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("import math\n")
    (tmp_path / "net.py").write_text("from layers import wide\n")
    (tmp_path / "layers.py").write_text("import sizes\n")
    (tmp_path / "sizes.py").write_text("wide = 8\n")
    targets = ("net.py:Net", "alone.py:Net")
    before = fingerprints(targets, tmp_path)
    assert before["alone.py:Net"] == hashlib.sha256(b"import math\n").hexdigest()
    (tmp_path / "other.py").write_text("")
    assert fingerprints(targets, tmp_path) == before
    (tmp_path / "sizes.py").write_text("wide = 9\n")
    after = fingerprints(targets, tmp_path)
    assert after["net.py:Net"] != before["net.py:Net"]
    assert after["alone.py:Net"] == before["alone.py:Net"]
    assert fingerprints(("layers.py",), tmp_path)["layers.py"] == hashlib.sha256(b"import sizes\n").hexdigest()
