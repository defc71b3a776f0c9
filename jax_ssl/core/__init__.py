"""Words of the library: array and tree types, the method contract, the train state."""
