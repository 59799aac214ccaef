"""A problem and a model for fastinv."""
