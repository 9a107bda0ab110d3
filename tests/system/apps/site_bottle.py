"""The site of test_frameworks.py, in Bottle."""

import hashlib
import json

from bottle import Bottle, redirect, request, response

application = Bottle()


@application.get("/hello/<name>")
def hello(name):
    return f"Hello, {name}"


@application.post("/form")
def form():
    return {name: request.forms.getunicode(name) for name in request.forms}


@application.post("/upload")
def upload():
    sent = request.files.get("file")
    return json.dumps(
        [
            sent.raw_filename,
            hashlib.sha256(sent.file.read()).hexdigest(),
            request.forms.getunicode("note"),
        ]
    )


@application.post("/json")
def from_json():
    return request.json


@application.post("/raw")
def raw():
    return json.dumps(len(request.body.read()))


@application.get("/query")
def query():
    return request.query.getunicode("q")


@application.get("/stream")
def stream():
    response.content_type = "text/plain"
    return (f"{i}\n" * 1000 for i in range(50))


@application.get("/cookies")
def cookies():
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", httponly=True)
    return dict(request.cookies)


@application.get("/redirect")
def elsewhere():
    redirect("/hello/you")


@application.get("/error")
def error():
    raise RuntimeError("raised in a view")


@application.get("/url")
def url():
    return request.url
