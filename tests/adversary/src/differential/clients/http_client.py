"""Python's clients. Arguments: base addresses. Prints `BASE NAME: ok`, or what happened instead."""

import http.client
import json
import sys
import urllib.parse
import urllib.request

LARGE = bytes(1 << 20)


def check(base, name, run):
    try:
        outcome = run()
    except Exception as error:
        outcome = repr(error)
    print(f"{base} {name}: {outcome}", flush=True)


def send(base, method, body=None, headers={}, times=1, size=None, **options):
    to = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=20)
    for _ in range(times):
        connection.request(method, to.path + "/hi", body, headers, **options)
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            return f"{response.status} {text}"
        if size is not None and json.loads(text)["bytes"] != size:
            return f"{text}"
    connection.close()
    return "ok"


def http10(base):
    to = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=20)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    connection.request("GET", to.path + "/hi")
    response = connection.getresponse()
    return "ok" if response.status == 200 and response.read() else response.status


def opened(base):
    request = urllib.request.Request(base + "/hi", b"abc", {"Content-Type": "text/plain"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return "ok" if json.loads(response.read())["bytes"] == 3 else "another length"


def through_proxy(base):
    """urllib sends the target in absolute form to a proxy."""
    to = urllib.parse.urlsplit(base)
    handler = urllib.request.ProxyHandler({"http": f"http://{to.netloc}"})
    with urllib.request.build_opener(handler).open(base + "/hi", timeout=20) as response:
        return "ok" if response.status == 200 else response.status


for base in sys.argv[1:]:
    check(base, "GET twice", lambda: send(base, "GET", times=2, size=0))
    check(base, "POST", lambda: send(base, "POST", b"abc", size=3))
    check(base, "PUT of an iterator", lambda: send(base, "PUT", iter([LARGE, b"a"]), size=len(LARGE) + 1))
    check(base, "PUT of a large body", lambda: send(base, "PUT", LARGE, size=len(LARGE)))
    check(base, "DELETE with a body", lambda: send(base, "DELETE", b"abc", size=3))
    check(base, "HEAD", lambda: send(base, "HEAD"))
    check(base, "OPTIONS", lambda: send(base, "OPTIONS"))
    check(base, "PROPFIND", lambda: send(base, "PROPFIND", b"<a/>", size=4))
    check(base, "a header of 6 KB", lambda: send(base, "GET", headers={"X-Long": "a" * 6000}))
    check(base, "HTTP/1.0", lambda: http10(base))
    check(base, "urllib POST", lambda: opened(base))
    check(base, "absolute form", lambda: through_proxy(base))
