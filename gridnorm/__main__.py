"""``python -m gridnorm``."""

from gridnorm.cli import main

main()
