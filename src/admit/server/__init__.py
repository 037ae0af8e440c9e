"""The token service's HTTP face: endpoints parse, call the facade and render; `create_app(service)` is the ASGI app."""

from admit.server.app import create_app

__all__ = ["create_app"]
