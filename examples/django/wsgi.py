"""A Django site in one file: a view, and one that streams."""

import time
from collections.abc import Iterator

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this example",
)


def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"host": request.get_host(), "path": request.path})


def numbers(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number
            time.sleep(0.1)

    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [path("", view), path("numbers", numbers)]

application = get_wsgi_application()
