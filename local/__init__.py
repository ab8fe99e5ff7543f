"""The whole product on one machine: moto extended, a virtual clock, a KDC, a PostgreSQL."""

import sys
from pathlib import Path

# Lambda puts the layers on the functions' path; here it is done once for all.
sys.path.insert(0, str(Path(__file__).parent.parent / "layers" / "common"))
