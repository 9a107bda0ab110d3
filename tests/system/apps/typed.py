"""echo and shapes as wsgiref.validate wants them: every response has a Content-Type."""

import echo as plain_echo
import shapes as plain_shapes


def with_type(application):
    def wrapped(environ, start_response):
        def start(status, headers, exc_info=None):
            if "Content-Type" not in dict(headers):
                headers = [*headers, ("Content-Type", "text/plain")]
            return start_response(status, headers)

        return application(environ, start)

    return wrapped


echo = with_type(plain_echo.application)
shapes = with_type(plain_shapes.application)
