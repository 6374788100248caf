"""`python -m lowres` is the `lowres` command."""

import sys

from lowres.cli import main

sys.exit(main())
