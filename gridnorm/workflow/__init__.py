"""Many files: plan → one array at a time → join."""
