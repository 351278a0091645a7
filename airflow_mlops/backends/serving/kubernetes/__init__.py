"""Serving on Kubernetes: KServe and Gateway API."""
