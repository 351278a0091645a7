"""What answers requests and how its traffic is split."""
