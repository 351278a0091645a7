"""Reports for people: self-contained HTML, one module a report, charts shared."""
