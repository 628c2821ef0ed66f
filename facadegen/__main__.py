"""`python -m facadegen`"""

import sys

from facadegen.cli import main

sys.exit(main())
