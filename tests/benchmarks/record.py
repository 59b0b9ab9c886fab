"""Leaves what a benchmark measured in the bench file, beside what others left there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from w2s_lib.findings.benchmarks import LAST_BENCH
from w2s_lib.lab.store import hardware, versions


def record(
    name: str, rows: list[dict[str, object]], notes: dict[str, str] | None = None, path: Path = LAST_BENCH
) -> None:
    """Replace one section of the bench file; the machine, the date and the versions are written with it."""
    sections = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    used = {package: versions()[package] for package in ("python", "torch", "transformers", "trl")}
    date = datetime.now(UTC).date().isoformat()
    sections[name] = {"hardware": hardware(), "date": date, "versions": used, "notes": notes or {}, "rows": rows}
    path.write_text(json.dumps(sections, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
