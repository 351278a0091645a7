"""Operators, one file per stage; each calls the core and back ends and holds no decisions."""
