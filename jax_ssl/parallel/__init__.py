"""Everything that knows what a mesh is."""
