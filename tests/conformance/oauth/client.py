"""Authlib gets tokens; jwcrypto checks them and the list of revocations."""

import base64
import hashlib
import json
import sys

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from jwcrypto import jwk, jws, jwt

server = json.load(open(sys.argv[1]))
url = server["url"]
token_url = f"{url}/connect/token"


def session(method, client=None, secret=None, scope="stella.api"):
    return OAuth2Session(
        client or server["client"], secret or server["secret"], scope=scope, token_endpoint_auth_method=method
    )


def admin(method, path, **body):
    token = session("client_secret_basic", scope="stella.admin").fetch_token(token_url, grant_type="client_credentials")
    headers = {"authorization": f"Bearer {token['access_token']}"}
    answer = requests.request(method, url + path, json=body or None, headers=headers)
    assert answer.ok, (answer.status_code, answer.text)
    return answer.json()


def get(path, token):
    return requests.get(url + path, headers={"authorization": f"Bearer {token}"})


keys = jwk.JWKSet.from_json(requests.get(f"{url}/jwks").text)
for method in ("client_secret_basic", "client_secret_post"):
    client = session(method)
    token = client.fetch_token(token_url, grant_type="client_credentials")
    assert token["token_type"] == "Bearer" and token["expires_in"] == 3600, token
    assert client.get(f"{url}/policy/export").status_code == 200
    checked = jwt.JWT(jwt=token["access_token"], key=keys, algs=["ES256"], check_claims={"iss": url, "aud": "stella-ops"})
    assert json.loads(checked.claims)["scope"] == "stella.api"
    assert json.loads(checked.header)["typ"] == "at+jwt"

refused = get("/api/v1/admin/users", token["access_token"])
assert refused.status_code == 403 and "stella.admin" in refused.json()["detail"], refused.text
assert get("/policy/export", "nonsense").status_code == 401

for case in (dict(secret="wrong"), dict(client="nobody"), dict(scope="openid")):
    try:
        session("client_secret_basic", **case).fetch_token(token_url, grant_type="client_credentials")
        raise SystemExit(f"{case} got a token")
    except OAuthError as error:
        assert error.error == ("invalid_scope" if "scope" in case else "invalid_client"), error

admin("POST", "/api/v1/admin/users", name="ann", password="Correct-horse7", role="operator", tenants=["acme"])
made = admin("POST", "/api/v1/admin/clients", id="web", scopes=["stella.api"], tenants=["acme"])
client = session("client_secret_basic", "web", made["secret"])
token = client.fetch_token(token_url, grant_type="password", username="ann", password="Correct-horse7")
first = token["refresh_token"]
token = client.refresh_token(token_url, refresh_token=first)
assert token["refresh_token"] != first
answer = client.get(f"{url}/policy/export")
assert answer.status_code == 200, answer.text
# The example answers with the caller, the operator with policies.
assert "json" not in answer.headers["content-type"] or answer.json()["subject"] == "ann", answer.text
try:
    client.refresh_token(token_url, refresh_token=first)
    raise SystemExit("a refresh token was good twice")
except OAuthError as error:
    assert error.error == "invalid_grant", error

admin("PATCH", "/api/v1/admin/clients/web", disabled=True)
key = {"x-stellaops-bootstrap-key": server["bootstrapKey"]}
assert requests.get(f"{url}/internal/revocations/export").status_code == 401
for rotate in (False, True):
    if rotate:
        answer = requests.post(f"{url}/internal/signing/rotate", json={"algorithm": "EdDSA"}, headers=key)
        assert answer.ok, answer.text
        keys = jwk.JWKSet.from_json(requests.get(f"{url}/jwks").text)
    export = requests.get(f"{url}/internal/revocations/export", headers=key).json()
    bundle = base64.b64decode(export["bundle"])
    assert hashlib.sha256(bundle).hexdigest() == export["sha256"]
    header, signature = export["jws"].split("..")
    payload = base64.urlsafe_b64encode(bundle).decode().rstrip("=")
    signed = jws.JWS()
    signed.deserialize(f"{header}.{payload}.{signature}")
    signed.verify(keys.get_key(export["kid"]))
    categories = [entry["category"] for entry in json.loads(bundle)["revocations"]]
    assert categories == ["client", "family"], categories
    broken = jws.JWS()
    broken.deserialize(f"{header}.{base64.urlsafe_b64encode(bundle + b' ').decode().rstrip('=')}.{signature}")
    try:
        broken.verify(keys.get_key(export["kid"]))
        raise SystemExit("a changed bundle verified")
    except jws.InvalidJWSSignature:
        pass
print("Authlib, jwcrypto: tokens, refresh, 403, revocations with ES256 and EdDSA")
