"""Tables of files: Delta and Iceberg, whose logs say which files are the rows of a version."""
