"""Weights of other libraries: reading their files, and saying our names for theirs.

Files are read with NumPy and the standard library, and nothing in them is executed.
"""
