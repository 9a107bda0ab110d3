"""The site of test_frameworks.py, in Flask."""

import hashlib

from flask import Flask, Response, jsonify, redirect, request

application = Flask(__name__)


@application.get("/hello/<name>")
def hello(name):
    return f"Hello, {name}"


@application.post("/form")
def form():
    return jsonify(dict(request.form))


@application.post("/upload")
def upload():
    sent = request.files["file"]
    return jsonify([sent.filename, hashlib.sha256(sent.read()).hexdigest(), request.form["note"]])


@application.post("/json")
def from_json():
    return jsonify(request.get_json())


@application.post("/raw")
def raw():
    return jsonify(len(request.get_data()))


@application.get("/query")
def query():
    return request.args["q"]


@application.get("/stream")
def stream():
    return Response((f"{i}\n" * 1000 for i in range(50)), mimetype="text/plain")


@application.get("/cookies")
def cookies():
    response = jsonify(dict(request.cookies))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", httponly=True)
    return response


@application.get("/redirect")
def elsewhere():
    return redirect("/hello/you")


@application.get("/error")
def error():
    raise RuntimeError("raised in a view")


@application.get("/url")
def url():
    return request.url
