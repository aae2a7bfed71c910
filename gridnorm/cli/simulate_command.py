"""``gridnorm simulate``."""

from __future__ import annotations

from typing import Any

import click

from gridnorm.cli.options import say


@click.command("simulate", short_help="Write array files with known truth.")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for the files; made if its parent exists.")
@click.option("--arrays", "n_arrays", type=int, default=2, show_default=True, help="Number of arrays.")
@click.option("--blocks", default="12x4", show_default=True, metavar="RxC", help="Blocks (print-tips) down × across.")
@click.option("--spots", default="21x20", show_default=True, metavar="RxC", help="Spots of a block down × across.")
@click.option("--channels", type=click.IntRange(1, 2), default=2, show_default=True, help="Number of channels.")
@click.option("--tip-offset-sd", type=float, default=0.3, show_default=True, help="Spread of the tips' shifts of M.")
@click.option(
    "--tip-slope-sd", type=float, default=0.05, show_default=True, help="Spread of the tips' slopes of M over A."
)
@click.option("--noise-sd", type=float, default=0.3, show_default=True, help="Noise of M.")
@click.option("--changed", type=float, default=0.10, show_default=True, help="Share of truly changed spots.")
@click.option("--effect", type=float, default=1.0, show_default=True, help="Their true M, up or down.")
@click.option("--outliers", type=float, default=0.01, show_default=True, help="Share of outliers.")
@click.option("--dye-bias", type=float, default=0.5, show_default=True, help="Dye bias that bends with A.")
@click.option("--spatial", type=float, default=0.2, show_default=True, help="Amplitude of the trend over the slide.")
@click.option("--background", type=float, default=100.0, show_default=True, help="Background level.")
@click.option("--flagged", type=float, default=0.02, show_default=True, help="Share of flagged spots.")
@click.option("--prefix", default="slide", show_default=True, help="Begin of the file names.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same files.")
@click.option("--force", is_flag=True, help="Overwrite.")
def command(output: str, n_arrays: int, blocks: str, spots: str, prefix: str, force: bool, **given: Any) -> int:
    """Write GPR files with known truth: layout, tip and dye bias, spatial trend, changed genes, outliers.

    The truth goes to truth.tsv beside them.

    \b
    gridnorm simulate -o sim --arrays 4 --blocks 4x4 --spots 20x20 --seed 7
    """
    import os

    from gridnorm.arrays.simulate import simulate
    from gridnorm.errors import OptionError, OutputError
    from gridnorm.io.atomic import Output
    from gridnorm.io.gpr_write import simulated_columns, write_gpr
    from gridnorm.io.write import write_table

    wrong = next(
        (name for name, value in given.items() if value != value or value in (float("inf"), float("-inf"))), None
    )
    if wrong is not None:
        raise OptionError(f"--{wrong.replace('_', '-')} must be a finite number", found=str(given[wrong]))
    if os.path.basename(prefix) != prefix:
        raise OptionError(
            "--prefix begins file names and cannot name a folder", found=repr(prefix), hint="Give the folder with -o"
        )
    made = simulate(n_arrays, _grid("--blocks", blocks), _grid("--spots", spots), **given)
    if not os.path.isdir(output):
        try:
            os.mkdir(output)
        except OSError as error:
            raise OutputError("the folder cannot be made", file=output, found=error.strerror or str(error)) from None
    with Output(force) as files:
        for k in range(n_arrays):
            write_gpr(
                os.path.join(output, f"{prefix}{k + 1}.gpr"), simulated_columns(made, k), made.wavelengths, output=files
            )
        labels, numbers = made.truth_columns()
        write_table(os.path.join(output, "truth.tsv"), labels, numbers, precision=4, output=files)
    say([f"wrote {n_arrays} arrays of {made.block.size} spots and truth.tsv to {output}"])
    return 0


def _grid(option: str, text: str) -> tuple[int, int]:
    from gridnorm.errors import OptionError

    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise OptionError(f"malformed {option}", found=repr(text), expected="ROWSxCOLUMNS, for example 12x4")
    return int(parts[0]), int(parts[1])
