"""Expectations of Great Expectations: rules, their signatures, and their evaluation from a profile."""
