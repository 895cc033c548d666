"""The web process: the application, gunicorn's settings and worker, and the fast path that bypasses WSGI."""
