"""Maximum mean discrepancy."""
