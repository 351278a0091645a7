"""Model release: readiness to serve, model card, approval by a person, status of a version."""
