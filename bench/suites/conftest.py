"""Makes the `tracked` fixture known to the suites."""

from tracking.fixture import tracked

__all__ = ["tracked"]
