"""``python -m airflow_mlops.cli``."""

from __future__ import annotations

import sys

from airflow_mlops.cli import main

sys.exit(main())
