"""A client of 3Shape Communicate's REST API, with a connection's access token."""
