"""Pictures of what normalization did. Needs the extra ``report``; matplotlib is imported when a picture is drawn."""

from __future__ import annotations

from gridnorm.report.figures import check_figure, figure_bytes, ma_by_group

__all__ = ["check_figure", "figure_bytes", "ma_by_group"]
