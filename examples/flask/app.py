from flask import Flask, redirect, render_template_string, request, session, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.secret_key = "for demonstration only"
# url_for and redirects then contain the path below which the proxy serves the application.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)

PAGE = """<!doctype html>
<title>Notes</title>
<h1>Notes</h1>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
<form method="post" action="{{ url_for('add') }}">
  <input name="note" aria-label="Note" required>
  <button>Add</button>
</form>
<p><a href="{{ url_for('about') }}">About</a></p>
"""


@app.get("/")
def index():
    return render_template_string(PAGE, notes=session.get("notes", []))


@app.post("/add")
def add():
    session["notes"] = [*session.get("notes", []), request.form["note"]]
    return redirect(url_for("index"))


@app.get("/about")
def about():
    return f"<!doctype html><title>About</title><h1>About</h1><p>{url_for('about', _external=True)}</p>"
