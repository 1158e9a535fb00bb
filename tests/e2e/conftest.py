"""What `make test` leaves to `make faults`: faults/, an hour of them."""

from __future__ import annotations

import os

collect_ignore = [] if "FAULT_TASKS" in os.environ else ["faults"]
