"""Serving on Vertex AI."""
