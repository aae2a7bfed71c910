"""Robust regression: many small fits at once by Huber's weights, natural splines, and effects of groups."""
