"""Made by `python -m gridnorm.workflow.schema` from the package; not to be edited."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from gridnorm import nn as nn
from gridnorm._version import __version__ as __version__
from gridnorm.arrays.arrayset import ArraySet as ArraySet
from gridnorm.arrays.background import Background
from gridnorm.arrays.between import Between
from gridnorm.arrays.between import BetweenTarget as BetweenTarget
from gridnorm.arrays.corrections import Correction
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.replicates import Replicates
from gridnorm.arrays.simulate import Simulated
from gridnorm.core.methods import Method
from gridnorm.core.segments import Segments as Segments
from gridnorm.errors import DeviceError as DeviceError
from gridnorm.errors import FitError as FitError
from gridnorm.errors import FormatError as FormatError
from gridnorm.errors import GridnormError as GridnormError
from gridnorm.errors import GridnormWarning as GridnormWarning
from gridnorm.errors import LayoutError as LayoutError
from gridnorm.errors import OptionError as OptionError
from gridnorm.errors import OutputError as OutputError
from gridnorm.workflow.given import Paths

def array_weights(
    arrays: ArraySet,
    design: Any = ...,
    method: str = ...,
    by: Any = ...,
    *,
    prior_n: float = ...,
    tol: float | None = ...,
    maxiter: int = ...,
    limma: bool = ...,
) -> FloatArray: ...
def average_replicates(
    arrays: ArraySet,
    method: str | Replicates = ...,
    by: str = ...,
    *,
    apart: str | Sequence[str] = ...,
    replicates_cv: float = ...,
) -> ArraySet: ...
def background_correct(
    arrays: ArraySet,
    method: str | Background = ...,
    *,
    offset: float | str | None = ...,
    normexp_method: str = ...,
    constraint: float = ...,
    saturated: float = ...,
    neighbours: str = ...,
    quadrature: str = ...,
    negative_type: str | Sequence[Any] = ...,
    robust: bool = ...,
) -> ArraySet: ...
def correct_intensities(
    arrays: ArraySet,
    correct: str | Correction | Sequence[str | Correction],
    *,
    order_span: float = ...,
    order_start: str = ...,
    separate_channels: bool = ...,
    plate_size: int = ...,
    plates_by: Any = ...,
    buffer_type: str | Sequence[Any] = ...,
    buffer_groups: Any = ...,
    buffer_statistic: str = ...,
    tag_column: Any = ...,
    tag_groups: Any = ...,
    tag_statistic: str = ...,
) -> ArraySet: ...
def inspect(
    paths: Paths | pd.DataFrame,
    *,
    by: Any = ...,
    foreground: str | None = ...,
    channels: str | Sequence[Any] = ...,
    columns: Any = ...,
    flag_table: Any = ...,
    controls: Any = ...,
    layout: Any = ...,
    gal: Any = ...,
) -> dict[str, Any]: ...
def merge_scans(
    arrays: ArraySet,
    by: str | Sequence[Any],
) -> ArraySet: ...
def normalize(
    arrays: ArraySet | Paths | pd.DataFrame,
    *,
    weights: Any = ...,
    target: BetweenTarget | str | os.PathLike[str] | None = ...,
    map: Callable[..., Iterable[Any]] = ...,
    by: Any = ...,
    split: Any = ...,
    method: Any = ...,
    scale: str = ...,
    small_groups: str = ...,
    min_group: int | str | None = ...,
    span: float = ...,
    iterations: int = ...,
    surface: str = ...,
    clamp_weights: bool | str | None = ...,
    control_type: str | Sequence[Any] = ...,
    space_span: float | str | None = ...,
    df: int = ...,
    match: str = ...,
    background: Any = ...,
    offset: float | str | None = ...,
    normexp_method: str = ...,
    constraint: float = ...,
    saturated: float = ...,
    neighbours: str = ...,
    quadrature: str = ...,
    negative_type: str | Sequence[Any] = ...,
    robust: bool = ...,
    foreground: str | None = ...,
    channels: str | Sequence[Any] = ...,
    columns: Any = ...,
    correct: str | Sequence[Any] = ...,
    order_span: float = ...,
    order_start: str = ...,
    separate_channels: bool = ...,
    plate_size: int = ...,
    plates_by: Any = ...,
    buffer_type: str | Sequence[Any] = ...,
    buffer_groups: Any = ...,
    buffer_statistic: str = ...,
    tag_column: Any = ...,
    tag_groups: Any = ...,
    tag_statistic: str = ...,
    between: Any = ...,
    cyclic_method: str = ...,
    cyclic_span: float = ...,
    cyclic_rounds: int = ...,
    vsn_keep: float = ...,
    vsn_trim: str = ...,
    vsn_rounds: int = ...,
    between_by: Any = ...,
    flags: Any = ...,
    flag_table: Any = ...,
    controls: Any = ...,
    exclude_types: str | Sequence[Any] = ...,
    fit_types: str | Sequence[Any] = ...,
    replicates: Any = ...,
    replicates_cv: float = ...,
    merge_scans: Any = ...,
    align: str = ...,
    layout: Any = ...,
    gal: Any = ...,
    keep: str | Sequence[Any] = ...,
    preset: str = ...,
    device: str = ...,
) -> ArraySet: ...
def normalize_between(
    arrays: ArraySet,
    method: str | Between = ...,
    *,
    by: Any = ...,
    target: BetweenTarget | None = ...,
    exclude_types: str | Sequence[str] | None = ...,
    fit_types: str | Sequence[str] | None = ...,
    cyclic_method: str = ...,
    cyclic_span: float = ...,
    cyclic_rounds: int = ...,
    vsn_keep: float = ...,
    vsn_trim: str = ...,
    vsn_rounds: int = ...,
    match: str = ...,
    control_type: str | Sequence[Any] = ...,
) -> ArraySet: ...
def normalize_groups(
    values: Any,
    groups: Any,
    method: str | Method = ...,
    covariate: Any = ...,
    weights: Any = ...,
    axis: int = ...,
    *,
    use: Any = ...,
    min_group: int = ...,
    small_groups: str = ...,
    span: float = ...,
    iterations: int = ...,
    surface: str = ...,
    clamp_weights: bool | str | None = ...,
    space_span: float | str | None = ...,
    df: int = ...,
) -> Any: ...
def normalize_within(
    arrays: ArraySet,
    by: Any = ...,
    method: str | Method = ...,
    *,
    flags: str = ...,
    weights: Any = ...,
    exclude_types: str | Sequence[str] = ...,
    fit_types: str | Sequence[str] = ...,
    scale: str = ...,
    small_groups: str = ...,
    min_group: int | str | None = ...,
    span: float = ...,
    iterations: int = ...,
    surface: str = ...,
    clamp_weights: bool | str | None = ...,
    control_type: str | Sequence[Any] = ...,
    space_span: float | str | None = ...,
    df: int = ...,
    match: str = ...,
) -> ArraySet: ...
def read(
    paths: Paths | pd.DataFrame,
    *,
    split: Any = ...,
    foreground: str | None = ...,
    channels: str | Sequence[Any] = ...,
    columns: Any = ...,
    flag_table: Any = ...,
    controls: Any = ...,
    merge_scans: Any = ...,
    align: str = ...,
    layout: Any = ...,
    gal: Any = ...,
    keep: str | Sequence[Any] = ...,
    preset: str = ...,
) -> ArraySet: ...
def read_target(
    path: str | os.PathLike[str],
) -> BetweenTarget: ...
def simulate(
    n_arrays: int,
    blocks: tuple[int, int] = ...,
    spots: tuple[int, int] = ...,
    *,
    channels: int = ...,
    tip_offset_sd: float = ...,
    tip_slope_sd: float = ...,
    tip_curve_sd: float = ...,
    tip_scale_sd: float = ...,
    noise_sd: float = ...,
    additive_sd: float = ...,
    empty: float = ...,
    controls: float = ...,
    changed: float = ...,
    up: float = ...,
    effect: float = ...,
    outliers: float = ...,
    bad: float = ...,
    not_found: float = ...,
    not_found_sd: float = ...,
    dye_bias: float = ...,
    spatial: float = ...,
    blob: float = ...,
    background: float = ...,
    small_tips: int = ...,
    small_tip_spots: int = ...,
    uneven: float = ...,
    content_sd: float = ...,
    same_probes: bool = ...,
    gains: str | Sequence[Any] = ...,
    seed: int = ...,
) -> Simulated: ...
def split(
    arrays: ArraySet,
    by: Any = ...,
    *,
    align: str | None = ...,
) -> ArraySet: ...
def spot_types(
    arrays: ArraySet,
    table: str | os.PathLike[str] | Mapping[str, Sequence[str]],
) -> ArraySet: ...
def write(
    arrays: ArraySet,
    path: str | os.PathLike[str],
    *,
    format: str | None = ...,
    precision: int | str = ...,
    force: bool = ...,
) -> None: ...
def write_target(
    target: BetweenTarget,
    path: str | os.PathLike[str],
    *,
    force: bool = ...,
) -> None: ...
