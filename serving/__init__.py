"""The model as a service: Triton's repository and server, and the client that calls it."""
