"""How large what is deployed is, as `sam build` makes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy import build, member_template, templates
from tools.bench.page import Goal, Section

KB, MB = 1_000, 1_000_000
LARGEST_LAYER = 30  # MB, unzipped
LAYER = "AWS::Serverless::LayerVersion"


def sections() -> Iterator[Section]:
    """Layers first, then functions, the largest first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if build.run(["--build-dir", str(folder / "built")]):
            raise RuntimeError("`make build` fails, so there is nothing to be measured.")
        yield section(folder / "built", folder)


def section(built: Path, folder: Path) -> Section:
    """The sizes of what is built; the folder is for the zips."""
    resources = templates.source()["Resources"]
    layers = [name for name, resource in resources.items() if resource["Type"] == LAYER]
    found = {name: (unzipped(built / name), zipped(built / name, folder)) for name in [*layers, *templates.functions()]}
    largest = sorted(found, key=lambda name: (name not in layers, -found[name][0]))
    return Section(
        "Packages and layers",
        "What `sam build` makes for arm64, in kB (1,000 bytes), without what Python compiles. A function has the "
        f"layer {layers[0]}; those that log in to databases have {layers[1]} as well. boto3 is the runtime's.",
        ("what", "unzipped", "zipped"),
        [(name, *(f"{size / KB:,.0f} kB" for size in found[name])) for name in largest],
        [Goal(f"{name}, MB unzipped", found[name][0] / MB, at_most=LARGEST_LAYER) for name in layers],
    )


def unzipped(folder: Path) -> int:
    """Bytes of all files."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files)


def zipped(source: Path, folder: Path) -> int:
    """Bytes of the zip."""
    return (folder / member_template.zipped(source, folder)).stat().st_size
