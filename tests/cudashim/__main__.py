"""``python -m cudashim {fast|asan|tsan} -- pytest tests/kernels -m shim``."""

import sys

from cudashim.sanitize import run_under

split = sys.argv.index("--")
sys.exit(run_under(sys.argv[1], [sys.executable, "-m", *sys.argv[split + 1 :]]))
