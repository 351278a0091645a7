"""Serving on one machine: HAProxy, model servers, their state."""
