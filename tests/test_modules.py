"""Every module of the package has a test file in the same place of ``tests``, or a reason why another one is its own."""

from __future__ import annotations

from pathlib import Path

import gridnorm

PACKAGE, TESTS = Path(gridnorm.__file__).parent, Path(__file__).resolve().parent

# Modules whose promises are made by others: the file that tests them, and why it is that one.
ELSEWHERE: dict[str, tuple[str, str]] = {
    "__main__.py": ("cli/test_process.py", "starts the command line in a process"),
    "_version.py": ("docs/test_readme.py", "a number"),
    "arrays/neighbours.py": ("arrays/test_background.py", "they serve movingmin"),
    "arrays/normexp/doubts.py": ("arrays/test_background.py", "doubts about channels"),
    "arrays/normexp/exact.py": ("arrays/test_normexp.py", "the parts of a model have one face"),
    "arrays/normexp/model.py": ("arrays/test_normexp.py", "the parts of a model have one face"),
    "arrays/normexp/normal.py": ("arrays/test_normexp.py", "the parts of a model have one face"),
    "arrays/normexp/saddle.py": ("arrays/test_normexp.py", "the parts of a model have one face"),
    "arrays/normexp/values.py": ("arrays/test_normexp.py", "the parts of a model have one face"),
    "arrays/background_row.py": ("arrays/test_background.py", "a row, what it is given and what it gives"),
    "io/whole.py": ("io/test_columns.py", "keys and flags are columns"),
    "io/commas.py": ("io/test_table.py", "commas are met in tables"),
    "io/regular.py": ("io/test_table.py", "the quick path of tables"),
    "plain.py": ("cli/test_streams.py", "it serves what is printed"),
    "cli/doctor_command.py": ("cli/test_doctor.py", "named after the command"),
    "cli/inspect_command.py": ("cli/test_inspect.py", "named after the command"),
    "cli/normalize_command.py": ("cli/test_normalize.py", "named after the command"),
    "cli/simulate_command.py": ("cli/test_simulate.py", "named after the command"),
    "arrays/simulate/options.py": ("arrays/test_simulate.py", "the parts of a simulation have one face"),
    "arrays/simulate/simulated.py": ("arrays/test_simulate.py", "the parts of a simulation have one face"),
    "arrays/simulate/slide.py": ("arrays/test_simulate.py", "the parts of a simulation have one face"),
    "arrays/corrected.py": ("arrays/test_chain.py", "the first steps of the chain"),
    "arrays/made.py": ("arrays/test_chain.py", "what the chain gives back"),
    "arrays/corrections/correction.py": ("arrays/corrections/test_rows.py", "every row is made of it"),
    "arrays/between/rows.py": ("arrays/between/test_step.py", "every row is taken by the step"),
    "core/across/entries.py": ("core/across/test_across.py", "what every method is given"),
    "core/across/vsn/likelihood.py": ("core/across/test_vsn.py", "the parts of a method have one face"),
    "core/across/vsn/newton.py": ("core/across/test_vsn.py", "the parts of a method have one face"),
    "core/across/vsn/rounds.py": ("core/across/test_vsn.py", "the parts of a method have one face"),
    "core/apply.py": ("core/test_fit_apply.py", "what is applied has been fitted"),
    "core/fit.py": ("core/test_fit_apply.py", "what is applied has been fitted"),
    "core/groups.py": ("core/test_methods.py", "methods on plain tables"),
    "core/option/kinds.py": ("core/test_option.py", "the parts of an option have one face"),
    "core/option/option.py": ("core/test_option.py", "the parts of an option have one face"),
    "core/option/table.py": ("core/test_option.py", "the parts of an option have one face"),
    "core/spread/given.py": ("core/test_spread.py", "one file for the shares, their tests and the tightest groups"),
    "core/spread/permutation.py": ("core/test_spread.py", "one file for the shares and their tests"),
    "core/spread/shares.py": ("core/test_spread.py", "one file for the shares and their tests"),
    "core/spread/cuts.py": ("core/test_spread.py", "judged by the shares"),
    "core/engines/activation.py": ("core/test_standardize.py", "follows a standardization"),
    "core/engines/chain.py": ("core/engines/test_engines.py", "chains of engines"),
    "core/engines/verbs.py": ("core/engines/test_engines.py", "the list of verbs"),
    "core/engines/knots.py": ("core/test_payload.py", "plain data"),
    "core/engines/hosted.py": ("kernels/test_hosted.py", "needs the kernels"),
    "core/engines/cuda/apply.py": ("kernels/test_apply.py", "needs the kernels"),
    "core/engines/cuda/call.py": ("kernels/test_kernels_module.py", "needs the kernels"),
    "core/engines/cuda/curves.py": ("kernels/test_lowess.py", "needs the kernels"),
    "core/engines/cuda/device.py": ("kernels/test_kernels_module.py", "needs the kernels"),
    "core/engines/cuda/launch.py": ("kernels/test_kernels_module.py", "needs the kernels"),
    "core/engines/cuda/loading.py": ("kernels/test_kernels_module.py", "needs the kernels"),
    "core/engines/cuda/lowess.py": ("kernels/test_lowess.py", "needs the kernels"),
    "core/engines/cuda/median.py": ("kernels/test_median.py", "needs the kernels"),
    "core/engines/cuda/moments.py": ("kernels/test_moments.py", "needs the kernels"),
    "core/engines/cuda/observed.py": ("kernels/test_hosted.py", "needs the kernels"),
    "core/engines/cuda/plan.py": ("kernels/test_standardize.py", "needs the kernels"),
    "core/engines/cuda/signatures.py": ("kernels/test_kernels_module.py", "needs the kernels"),
    "core/engines/cuda/standardize.py": ("kernels/test_standardize.py", "needs the kernels"),
    "core/engines/cuda/standardize_backward.py": ("kernels/test_standardize_backward.py", "needs the kernels"),
    "core/engines/numpy/apply.py": ("core/test_fit_apply.py", "a verb, tested through the core on every backend"),
    "core/engines/numpy/curves.py": ("core/test_lowess.py", "curves are made of lowess"),
    "core/engines/numpy/lattice.py": ("core/test_loess.py", "a quicker way to the same surfaces"),
    "core/engines/numpy/loess.py": ("core/test_loess.py", "beside the tests of lowess"),
    "core/engines/numpy/lowess.py": ("core/test_lowess.py", "one file for the five that make lowess"),
    "core/engines/numpy/lowess_plain.py": ("core/test_lowess.py", "one file for the five that make lowess"),
    "core/engines/numpy/lowess_seeds.py": ("core/test_lowess.py", "one file for the five that make lowess"),
    "core/engines/numpy/lowess_weighted.py": ("core/test_lowess.py", "one file for the five that make lowess"),
    "core/engines/numpy/lowess_windows.py": ("core/test_lowess.py", "one file for the five that make lowess"),
    "core/engines/numpy/median.py": ("core/test_fit_apply.py", "a verb, tested through the core on every backend"),
    "core/engines/numpy/moments.py": ("core/test_rows.py", "sums of rows"),
    "core/engines/numpy/namespace.py": ("core/engines/test_engines.py", "a name"),
    "core/engines/numpy/observed.py": ("core/test_fit_apply.py", "a verb, tested through the core on every backend"),
    "core/engines/numpy/rows.py": ("core/test_rows.py", "one place for segments as rows"),
    "core/engines/numpy/standardize.py": (
        "core/test_standardize.py",
        "a verb, tested through the core on every backend",
    ),
    "io/formats/row.py": ("io/formats/test_registry.py", "the row of a format"),
    "io/gpr_write.py": ("io/formats/test_gpr.py", "what is written is read"),
    "io/ragged.py": ("io/test_table.py", "the tolerant path of tables"),
    "nn/batch.py": ("nn/test_batch_norm.py", "named after the function"),
    "nn/functional.py": ("nn/test_group_norm.py", "named after the function"),
    "nn/partition.py": ("nn/test_group_norm.py", "ways to write groups"),
    "nn/second_order.py": ("nn/test_gradients.py", "second derivatives"),
    "nn/segment.py": ("nn/test_segment_norm.py", "named after the function"),
    "nn/views.py": ("nn/test_exactness.py", "layouts"),
    "workflow/inspect.py": ("cli/test_inspect.py", "one command"),
    "workflow/workers.py": ("workflow/test_execute.py", "the processes that a run has"),
}


def test_every_module_has_a_test_file_or_a_reason() -> None:
    modules = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    assert modules, "the package is not where it is looked for"
    without = {m.as_posix() for m in modules if not (TESTS / m.parent / f"test_{m.name}").is_file()}
    assert without - ELSEWHERE.keys() == set(), "write tests/<place>/test_<module>.py"
    assert ELSEWHERE.keys() - without == set(), "gone, or with a test file of their own now"


def test_the_files_that_are_named_exist_and_say_why() -> None:
    for module, (file, reason) in ELSEWHERE.items():
        assert (TESTS / file).is_file(), f"{module}: {file} is gone"
        assert reason


def test_helpers_are_found_by_one_name_each() -> None:
    """Folders of ``pythonpath`` are one namespace: two files of a name would hide each other."""
    names = [path.stem for folder in ("", "helpers", "bench", "mutation") for path in (TESTS / folder).glob("*.py")]
    assert len(names) == len(set(names))
    assert not any(
        "sys.path.insert" in path.read_text() for path in TESTS.rglob("test_*.py") if path.name != "test_modules.py"
    )
