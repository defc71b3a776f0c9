"""Optimizers by rule."""
