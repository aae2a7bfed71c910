"""``gridnorm simulate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gridnorm.cli.options import paths
from gridnorm.cli.streams import say

if TYPE_CHECKING:
    from gridnorm.core.option import Option


class _SimulateCommand(click.Command):
    """The command with one option for every row of ``OPTIONS``."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own options, then those of the simulation."""
        from gridnorm.arrays.simulate import OPTIONS

        return [*super().get_params(ctx), *map(_click, OPTIONS)]


def _click(option: Option) -> click.Option:
    from gridnorm.core.option import FLAG, defaults_in_words

    default = defaults_in_words([("", option.default)])
    text = option.help + (f"  [default: {default}]" if default else "")
    if option.kind is FLAG:
        return click.Option([option.flag], is_flag=True, default=None, help=text)
    return click.Option([option.flag], metavar=option.metavar, default=None, help=text)


@click.command("simulate", cls=_SimulateCommand, short_help="Write array files with known truth.")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    shell_complete=paths,
    help="Folder for the files; made if its parent exists.",
)
@click.option("--arrays", "n_arrays", type=click.IntRange(1), default=2, show_default=True, help="Number of arrays.")
@click.option("--blocks", default="12x4", show_default=True, metavar="RxC", help="Blocks (print-tips) down × across.")
@click.option("--spots", default="21x20", show_default=True, metavar="RxC", help="Spots of a block down × across.")
@click.option("--prefix", default="slide", show_default=True, help="Begin of the file names.")
@click.option("--force", is_flag=True, help="Overwrite.")
def command(output: str, n_arrays: int, blocks: str, spots: str, prefix: str, force: bool, **given: Any) -> int:
    """Write GPR files with known truth.

    Print-tip and dye bias, a trend over the slide, noise, changed genes, flagged and damaged spots; on demand small
    print-tips, samples in blocks, scans at several gains. The truth goes to truth.tsv beside them.

    \b
    gridnorm simulate -o sim --arrays 4 --blocks 4x4 --spots 20x20 --seed 7
    gridnorm simulate -o pads --channels 1 --blocks 8x2 --same-probes --content-sd 0.6
    gridnorm simulate -o scans --arrays 3 --gains 0.5,1,2
    """
    import os

    from gridnorm.arrays.simulate import simulate
    from gridnorm.errors import OptionError, OutputError
    from gridnorm.io.atomic import Output
    from gridnorm.io.gpr_write import simulated_columns, write_gpr
    from gridnorm.io.write import write_table

    if os.path.basename(prefix) != prefix:
        raise OptionError(
            "--prefix begins file names and cannot name a folder", found=repr(prefix), hint="Give the folder with -o"
        )
    options = {name: value for name, value in given.items() if value is not None}
    made = simulate(n_arrays, _grid("--blocks", blocks), _grid("--spots", spots), **options)
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
    many = "1 array" if n_arrays == 1 else f"{n_arrays} arrays"
    say([f"wrote {many} of {made.block.size} spots and truth.tsv to {output}"])
    return 0


def _grid(option: str, text: str) -> tuple[int, int]:
    from gridnorm.errors import OptionError
    from gridnorm.io.cells import count

    sizes = [count(part.strip()) for part in text.lower().replace("×", "x").split("x")]
    if len(sizes) != 2 or sizes[0] is None or sizes[1] is None:
        raise OptionError(f"malformed {option}", found=repr(text[:40]), expected="ROWSxCOLUMNS, for example 12x4")
    return sizes[0], sizes[1]
