"""fastinv."""
