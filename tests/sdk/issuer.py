"""An identity provider of the tests' own: real keys, published over HTTP."""

import base64
import http.server
import json
import ssl
import threading
import time

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC, RSA
from Crypto.Signature import DSS, pkcs1_15


def base64url(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value, length=None):
    return base64url(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


class RsaKey:
    algorithm = "RS256"

    def __init__(self, kid):
        self.kid, self.key = kid, RSA.generate(2048)

    def public(self):
        number = {"n": _number(self.key.n), "e": _number(self.key.e)}
        return {"kty": "RSA", "use": "sig", "kid": self.kid, "alg": "RS256", **number}

    def sign(self, message):
        return pkcs1_15.new(self.key).sign(SHA256.new(message))


class EcKey:
    algorithm = "ES256"

    def __init__(self, kid):
        self.kid, self.key = kid, ECC.generate(curve="P-256")

    def public(self):
        point = self.key.pointQ
        place = {"x": _number(int(point.x), 32), "y": _number(int(point.y), 32)}
        return {"kty": "EC", "crv": "P-256", "kid": self.kid, **place}

    def sign(self, message):
        return DSS.new(self.key, "fips-186-3").sign(SHA256.new(message))


def token(claims, key=None, header=None, signature=None):
    """A token as an issuer makes it, or as somebody forges it."""
    if header is None:
        header = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
    signed = f"{base64url(header)}.{base64url(claims)}"
    if signature is None:
        signature = key.sign(signed.encode())
    return f"{signed}.{base64url(signature)}"


class Issuer:
    """Publishes keys at a URL, and remembers what it was asked for."""

    def __init__(self, path="/realm", tls=None):
        self.keys, self.asked, self.answers = [], [], {}
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, body, headers = issuer.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        self.place = f"{host}:{self.server.server_port}{path}"
        self.url, self.path = f"{scheme}://{self.place}", path
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path):
        if path in self.answers:
            return self.answers[path]
        if path == f"{self.path}/.well-known/openid-configuration":
            body = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        elif path == f"{self.path}/keys":
            body = {"keys": [key.public() for key in self.keys]}
        else:
            return 404, b"", {}
        return 200, json.dumps(body).encode(), {"Content-Type": "application/json"}

    def claims(self, **changes):
        now = int(time.time())
        claims = {"iss": self.url, "sub": "robot", "aud": "costrel", "iat": now, "exp": now + 300}
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
