"""REST v10, one module per kind of resource, each with `add_routes(routes, services)`; request.py reads bodies."""
