"""Arrays: spots, layout, background, M and A, weights; thin over the core."""
