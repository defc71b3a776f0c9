"""Sources of examples and the order in which a run reads them."""
