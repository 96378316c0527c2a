"""The OAuth protocol alone: nothing is stored here, and no page of 3Shape's is known."""
