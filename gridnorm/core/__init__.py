"""The one core: group → fit → apply. Knows items, segments and batches, nothing of biology or networks."""
