"""Reports that people read: self-contained HTML of results that the core decided."""
