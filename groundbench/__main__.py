"""`python -m groundbench`, which is also what `accelerate launch -m groundbench` starts."""

import sys

from groundbench.cli import main

sys.exit(main())
