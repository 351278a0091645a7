"""What every running task has: its evidence run, and how errors become task states."""
