// Tokens of another issuer at our resources, while it is up and while it is down.
import assert from "node:assert/strict";
import fs from "node:fs";

const [, , serverFile, issuerFile, state, tokenFile] = process.argv;
const server = JSON.parse(fs.readFileSync(serverFile, "utf8"));
// oidc-provider prints notices after our line.
const issuer = JSON.parse(fs.readFileSync(issuerFile, "utf8").split("\n")[0]);

async function token(resource, scope) {
  const body = new URLSearchParams({ grant_type: "client_credentials", client_id: issuer.client, client_secret: issuer.secret, resource, scope });
  const answer = await fetch(`${issuer.issuer}/token`, { method: "POST", body });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).access_token;
}
const get = (path, token) => fetch(new URL(path, server.url), { headers: { authorization: `Bearer ${token}` } });

if (state === "up") {
  const reader = await token("https://stella.example/", "policy.read");
  const read = await get("/policy/export", reader);
  assert.equal(read.status, 200, await read.clone().text());
  assert.deepEqual(await read.json(), { subject: "elsewhere", scopes: ["policy.read"], tenants: ["acme"] });
  const refused = await get("/api/v1/admin/whoami", reader);
  assert.equal(refused.status, 403);
  assert.match((await refused.json()).detail, /stella\.admin/);

  const admin = await (await get("/api/v1/admin/whoami", await token("https://stella.example/", "stella.admin"))).json();
  assert.deepEqual(admin.tenants, ["*"]);

  const other = await get("/policy/export", await token("https://another.example/", "policy.read"));
  assert.equal(other.status, 401, "for another API");
  const [head, , signature] = reader.split(".");
  const payload = Buffer.from(JSON.stringify({ iss: issuer.issuer, sub: "root", aud: "stella-ops", exp: 9e9, scope: "stella.admin" }));
  assert.equal((await get("/policy/export", `${head}.${payload.toString("base64url")}.${signature}`)).status, 401);
  fs.writeFileSync(tokenFile, reader);
  console.log("oidc-provider: tokens accepted by scope, tenant and audience");
} else {
  await assert.rejects(fetch(issuer.issuer));
  assert.equal((await get("/policy/export", fs.readFileSync(tokenFile, "utf8"))).status, 200);
  console.log("oidc-provider: its token is good while it is down");
}
