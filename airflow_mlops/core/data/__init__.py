"""What data is and whether it changed: window, profile, schema, distance, skew."""
