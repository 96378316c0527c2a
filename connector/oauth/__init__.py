"""The OAuth protocol only: nothing is stored here, and nothing depends on 3Shape's pages."""
