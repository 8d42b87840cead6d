"""Photos written in the forms that sources have, for the tests: (key, bytes, class) of each."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

__all__ = ["photos_of", "write_csv", "write_folder", "write_parquet", "write_tar"]

Keyed: TypeAlias = Sequence[tuple[str, bytes, str]]


def photos_of(folder: Path) -> list[tuple[str, bytes, str]]:
    """Those of a folder of classes, one of each class in turn."""
    found = sorted(folder.rglob("*.jpg"), key=lambda path: (path.name, path.parent.name))
    return [(f"{n:04d}", path.read_bytes(), path.parent.name) for n, path in enumerate(found)]


def write_tar(path: Path, photos: Keyed, *, mode: str = "w", as_json: bool = False) -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for key, data, label in photos:
            about = json.dumps({"label": label, "group": key[0]}).encode() if as_json else label.encode()
            for ending, member in (("jpg", data), ("json" if as_json else "cls", about)):
                info = tarfile.TarInfo(f"{key}.{ending}")
                info.size = len(member)
                tar.addfile(info, io.BytesIO(member))
    return path


def write_parquet(path: Path, photos: Keyed, *, rows: int = 3) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    names = sorted({label for _, _, label in photos})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    table = pa.table(
        {
            "image": [{"bytes": data, "path": f"{key}.jpg"} for key, data, _ in photos],
            "label": pa.array([names.index(label) for _, _, label in photos], pa.int64()),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=rows)
    return path


def write_folder(root: Path, photos: Keyed) -> Path:
    for key, data, label in photos:
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / f"{key}.jpg").write_bytes(data)
    return root


def write_csv(path: Path, photos: Keyed) -> Path:
    root = write_folder(path.parent / "files", photos)
    lines = [f"{root.name}/{label}/{key}.jpg,{label}" for key, _, label in photos]
    path.write_text("\n".join(["path,label", *lines]) + "\n", "utf-8")
    return path
