"""HTTP in front of the painter: OpenAPI, guard rails, origin, tasks and the studio page."""
