"""The site of test_frameworks.py, in Pyramid."""

import hashlib

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response


def hello(request):
    return Response(f"Hello, {request.matchdict['name']}")


def form(request):
    return Response(json=dict(request.POST))


def upload(request):
    sent = request.POST["file"]
    return Response(
        json=[sent.filename, hashlib.sha256(sent.file.read()).hexdigest(), request.POST["note"]]
    )


def from_json(request):
    return Response(json=request.json_body)


def raw(request):
    return Response(json=len(request.body))


def query(request):
    return Response(request.params["q"])


def stream(request):
    return Response(
        app_iter=(f"{i}\n".encode() * 1000 for i in range(50)), content_type="text/plain"
    )


def cookies(request):
    response = Response(json=dict(request.cookies))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", httponly=True)
    return response


def elsewhere(request):
    return HTTPFound("/hello/you")


def error(request):
    raise RuntimeError("raised in a view")


def url(request):
    return Response(request.url)


def make():
    config = Configurator()
    gets = {
        "query": query,
        "stream": stream,
        "cookies": cookies,
        "redirect": elsewhere,
        "error": error,
        "url": url,
    }
    posts = {"form": form, "upload": upload, "json": from_json, "raw": raw}
    config.add_route("hello", "/hello/{name}")
    config.add_view(hello, route_name="hello", request_method=("GET", "HEAD"))
    for method, views in (("GET", gets), ("POST", posts)):
        for name, view in views.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name, request_method=method)
    return config.make_wsgi_app()


application = make()
