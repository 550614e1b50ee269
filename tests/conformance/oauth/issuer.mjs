// Another issuer: oidc-provider, with access tokens as JWT.
import http from "node:http";
import * as jose from "jose";
import Provider from "oidc-provider";

const { privateKey } = await jose.generateKeyPair("ES256", { extractable: true });
const key = { ...(await jose.exportJWK(privateKey)), alg: "ES256", use: "sig", kid: "other" };
const listener = http.createServer();
await new Promise((done) => listener.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${listener.address().port}`;
const client = { client_id: "elsewhere", client_secret: "not-a-secret-but-long-enough", grant_types: ["client_credentials"], redirect_uris: [], response_types: [], id_token_signed_response_alg: "ES256" };
const audiences = { "https://stella.example/": "stella-ops", "https://another.example/": "another-api" };
const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  clients: [client],
  scopes: ["policy.read", "stella.admin"],
  extraTokenClaims: async (_, token) => (token.scope.includes("stella.admin") ? { tenants: ["*"] } : undefined),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 1) },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: async (_, resource) => ({
        scope: "policy.read stella.admin",
        audience: audiences[resource],
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
});
listener.on("request", provider.callback());
console.log(JSON.stringify({ issuer, client: client.client_id, secret: client.client_secret }));
