"""Csv files: the dialect a file is written in, and its bytes as blocks of whole rows."""
