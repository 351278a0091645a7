"""How many rows, positives and requests each claim of a configuration needs, by the rules that judge it."""
