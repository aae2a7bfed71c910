"""``gridnorm doctor``."""

from __future__ import annotations

import platform
import sys
from typing import Any

import click

from gridnorm.cli.streams import show, show_json

NEEDED = ("numpy", "click", "pandas", "scipy", "statsmodels", "scikit-learn", "threadpoolctl")
OPTIONAL = {
    "pyarrow": "parquet",
    "matplotlib": "report",
    "jinja2": "report",
    "torch": "torch",
    "onnx": "onnx",
}


@click.command("doctor", short_help="Show versions and the device, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> int:
    """Show versions, optional parts and the device, and why the GPU is or is not used."""
    found = examine()
    if as_json:
        import json

        show_json([json.dumps(found, indent=1), "\n"])
    else:
        show(_lines(found))
    broken = found["missing"] or any(row["trouble"] for row in found["device"]["kernels"])
    return 1 if broken else 0


def examine() -> dict[str, Any]:
    """Versions of gridnorm, Python and packages, what is missing, and the device."""
    from gridnorm._version import __version__

    needed = {name: _version(name) for name in NEEDED}
    return {
        "gridnorm": __version__,
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "packages": needed,
        "optional": {name: {"version": _version(name), "extra": extra} for name, extra in OPTIONAL.items()},
        "missing": [name for name, version in needed.items() if version is None],
        "device": _device(),
    }


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device() -> dict[str, Any]:
    """The GPU, or why there is none; with a GPU, what became of every kernel."""
    from gridnorm.core.engines.cuda.device import cuda_status
    from gridnorm.core.engines.cuda.launch import compile_all

    usable, reason = cuda_status()
    compiled = (
        [{"kernel": str(inst), "seconds": round(s, 2), "trouble": text} for inst, s, text in compile_all()]
        if usable
        else []
    )
    return {"used": "cpu", "gpu": usable, "reason": reason, "kernels": compiled}


def _optional(extra: str) -> str:
    return f'not installed (optional: pip install "gridnorm[{extra}]")'


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"gridnorm {found['gridnorm']} on Python {found['python']}, {found['system']}"]
    lines += [
        f"  {name:<14} {version or 'MISSING: pip install ' + name}" for name, version in found["packages"].items()
    ]
    for name, part in found["optional"].items():
        lines.append(f"  {name:<14} {part['version'] or _optional(part['extra'])}")
    device = found["device"]
    if not device["gpu"]:
        return [*lines, f"device: CPU; {device['reason']}"]
    lines.append(f"device: CPU unless --device gpu; GPU: {device['reason']}")
    for row in device["kernels"]:
        lines.append(f"  {row['kernel']:<56} {row['trouble'] or 'compiled in ' + str(row['seconds']) + ' s'}")
    return lines
