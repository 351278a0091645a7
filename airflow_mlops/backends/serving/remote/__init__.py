"""Serving on remote platforms: what Kubernetes and Vertex AI have in common."""
