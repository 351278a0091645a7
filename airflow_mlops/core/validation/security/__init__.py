"""Security heuristics: signs of label poisoning and of model extraction."""
