"""`python -m tinyalbert` is the `tinyalbert` command."""

import sys

from .cli import main

sys.exit(main())
