"""Whether a candidate may challenge the champion."""
