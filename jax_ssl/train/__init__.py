"""One train step and one loop."""
