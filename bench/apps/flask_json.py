# mypy: disable-error-code="import-not-found"
"""Flask, one route, a small JSON answer."""

from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/")
def hello() -> Response:
    return jsonify(message="Hello, World!")
