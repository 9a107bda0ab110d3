"""The site of test_frameworks.py, in Django, in a single file."""

import hashlib
import json

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_http_methods

settings.configure(
    ALLOWED_HOSTS=["*"],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"]},
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests alone",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()

get = require_http_methods(["GET", "HEAD"])
post = require_http_methods(["POST"])


@get
def hello(request, name):
    return HttpResponse(f"Hello, {name}")


@post
def form(request):
    return JsonResponse(request.POST.dict())


@post
def upload(request):
    sent = request.FILES["file"]
    return JsonResponse(
        [sent.name, hashlib.sha256(sent.read()).hexdigest(), request.POST["note"]], safe=False
    )


@post
def from_json(request):
    return JsonResponse(json.loads(request.body))


@post
def raw(request):
    return JsonResponse(len(request.body), safe=False)


@get
def query(request):
    return HttpResponse(request.GET["q"])


@get
def stream(request):
    return StreamingHttpResponse((f"{i}\n" * 1000 for i in range(50)), content_type="text/plain")


@get
def cookies(request):
    response = JsonResponse(request.COOKIES)
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", httponly=True)
    return response


@get
def elsewhere(request):
    return HttpResponseRedirect("/hello/you")


@get
def error(request):
    raise RuntimeError("raised in a view")


@get
def url(request):
    return HttpResponse(request.build_absolute_uri())


urlpatterns = [
    path("hello/<str:name>", hello),
    path("form", form),
    path("upload", upload),
    path("json", from_json),
    path("raw", raw),
    path("query", query),
    path("stream", stream),
    path("cookies", cookies),
    path("redirect", elsewhere),
    path("error", error),
    path("url", url),
]
application = WSGIHandler()
