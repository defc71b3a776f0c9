"""Self-supervised learning in JAX: methods as values, one loop, any mesh."""

__version__ = "0.1.0"
