"""Modules that return Features."""
