"""A Flask application: a page, JSON, and an upload."""

from flask import Flask, jsonify, request

application = Flask(__name__)


@application.get("/")
def page() -> str:
    return "<h1>Flask, served by Penstock</h1>"


@application.get("/json")
def json() -> object:
    return jsonify(agent=request.headers.get("User-Agent", ""), scheme=request.scheme)


@application.post("/upload")
def upload() -> object:
    return jsonify({name: len(file.read()) for name, file in request.files.items()})
