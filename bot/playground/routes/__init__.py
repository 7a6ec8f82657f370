"""REST v10, one module per kind of resource; each offers `add_routes(router, services)`. request.py reads bodies and checks tokens."""
