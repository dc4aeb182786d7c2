"""`python -m in2x` is `in2x`."""

import sys

from in2x.cli import main

sys.exit(main())
