// oauth4webapi gets a token that is bound to its key, and uses it; jose checks it and the list of revocations.
import assert from "node:assert/strict";
import fs from "node:fs";
import * as jose from "jose";
import * as oauth from "oauth4webapi";

const server = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const http = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(server.url);

const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...http });
const as = await oauth.processDiscoveryResponse(issuer, discovered);
const client = { client_id: server.client };

for (const algorithm of ["ES256", "Ed25519", "RS256"]) {
  const pair = await oauth.generateKeyPair(algorithm);
  const DPoP = oauth.DPoP(client, pair);
  const auth = oauth.ClientSecretBasic(server.secret);
  const asked = await oauth.clientCredentialsGrantRequest(as, client, auth, { scope: "stella.api" }, { DPoP, ...http });
  if (algorithm === "Ed25519" && asked.status === 400) {
    // RFC 9864 names the algorithm anew; we serve the name of RFC 8037.
    assert.equal((await asked.json()).error, "invalid_dpop_proof");
    continue;
  }
  const token = await oauth.processClientCredentialsResponse(as, client, asked);
  assert.equal(token.token_type, "dpop");
  const { payload } = await jose.jwtVerify(token.access_token, jose.createRemoteJWKSet(new URL(as.jwks_uri)), {
    issuer: server.url,
    audience: "stella-ops",
    typ: "at+jwt",
  });
  assert.equal(payload.cnf.jkt, await jose.calculateJwkThumbprint(await jose.exportJWK(pair.publicKey)));

  const resource = new URL("/policy/export?", server.url);
  const get = (token, options) => oauth.protectedResourceRequest(token, "GET", resource, undefined, null, { ...options, ...http });
  assert.equal((await get(token.access_token, { DPoP })).status, 200);

  const bearer = await fetch(resource, { headers: { authorization: `Bearer ${token.access_token}` } });
  assert.equal(bearer.status, 401);
  assert.match(bearer.headers.get("www-authenticate"), /DPoP .*algs="ES256 EdDSA RS256"/);

  // A proof is good once, and for its own key, method and token only.
  const proof = await new jose.SignJWT({
    htm: "GET",
    htu: new URL("/policy/export", server.url).href,
    jti: crypto.randomUUID(),
    ath: jose.base64url.encode(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token.access_token)))),
  })
    .setProtectedHeader({ alg: algorithm === "Ed25519" ? "EdDSA" : algorithm, typ: "dpop+jwt", jwk: await jose.exportJWK(pair.publicKey) })
    .setIssuedAt()
    .sign(pair.privateKey);
  const send = (path) => fetch(new URL(path, server.url), { headers: { authorization: `DPoP ${token.access_token}`, dpop: proof } });
  assert.equal((await send("/api/v1/admin/users")).status, 401, "for another URL");
  assert.equal((await send("/policy/export")).status, 200);
  const again = await send("/policy/export");
  assert.equal(again.status, 401);
  assert.match(again.headers.get("www-authenticate"), /error="invalid_dpop_proof"/);
}

const bad = await fetch(as.token_endpoint, {
  method: "POST",
  headers: { dpop: "nonsense" },
  body: new URLSearchParams({ grant_type: "client_credentials", client_id: server.client, client_secret: server.secret }),
});
assert.deepEqual([bad.status, (await bad.json()).error], [400, "invalid_dpop_proof"]);

const answer = await fetch(new URL("/internal/revocations/export", server.url), { headers: { "x-stellaops-bootstrap-key": server.bootstrapKey } });
const exported = await answer.json();
const keys = jose.createRemoteJWKSet(new URL(as.jwks_uri));
const [header, signature] = exported.jws.split("..");
const payload = jose.base64url.encode(Buffer.from(exported.bundle, "base64"));
await jose.flattenedVerify({ protected: header, payload, signature }, keys);
console.log("oauth4webapi, jose: discovery, DPoP with ES256 and RS256, replay, revocations");
