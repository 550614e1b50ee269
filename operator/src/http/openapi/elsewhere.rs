//! Operations whose handlers stand in other crates: the authority's, and the probes.

use serde_json::{Value, json};

/// Their paths.
pub(super) fn paths() -> Value {
    let name = json!({"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$"});
    let scopes =
        json!({"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string", "enum": scopes()}});
    let tenants = json!({"type": "array", "minItems": 1, "items": {"type": "string"},
        "description": "Names of tenants, or * for all."});
    let most = json!({"type": ["integer", "null"], "minimum": 0, "maximum": u32::MAX});
    let change = json!({"type": "object", "required": ["disabled"], "additionalProperties": false,
        "properties": {"disabled": {"type": "boolean"}}});
    let user = json!({"type": "object", "required": ["name", "password", "role"], "additionalProperties": false,
        "properties": {"name": name, "password": {"type": "string"}, "role": {"enum": ["viewer", "operator", "admin"]},
            "tenants": tenants}});
    let client = json!({"type": "object", "required": ["id", "scopes"], "additionalProperties": false,
        "properties": {"id": name, "scopes": scopes, "tenants": tenants, "maxScansPerDay": most}});
    let offline = json!({"type": "object", "additionalProperties": false, "properties": {
        "expiresDays": {"type": "integer", "minimum": 1, "maximum": 90, "default": 30}, "maxScansPerDay": most,
        "scopes": scopes, "tenants": tenants}});
    let rotate = json!({"type": "object", "additionalProperties": false, "properties": {
        "keyId": {"type": ["string", "null"]}, "location": {"type": ["string", "null"]},
        "source": {"enum": ["file", "secret"]}, "provider": {"type": ["string", "null"]},
        "algorithm": {"enum": ["ES256", "EdDSA", null]}}});
    let grant = json!({"type": "object", "required": ["grant_type"], "properties": {
        "grant_type": {"enum": stella_authority::grant::GRANT_TYPES}, "client_id": {"type": "string"},
        "client_secret": {"type": "string"}, "scope": {"type": "string"}, "username": {"type": "string"},
        "password": {"type": "string"}, "refresh_token": {"type": "string"}, "assertion": {"type": "string"}}});
    let refusal = json!({"description": "Refused (RFC 6749, section 5.2).", "content": {"application/json": {"schema":
        {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}}}}}});
    let token = json!({"type": "object", "required": ["access_token", "token_type", "expires_in", "scope"], "properties": {
        "access_token": {"type": "string"}, "token_type": {"enum": ["Bearer", "DPoP"]}, "expires_in": {"type": "integer"},
        "scope": {"type": "string"}, "refresh_token": {"type": "string"}}});
    let key = json!([{"bootstrapKey": []}]);
    json!({
        "/connect/token": {"post": {"tags": ["authority"], "summary": "A token for whoever shows who they are.",
            "operationId": "token", "security": [{"client": []}, {}],
            "requestBody": {"required": true, "content": {"application/x-www-form-urlencoded": {"schema": grant}}},
            "responses": {"200": answer(&token), "400": refusal, "401": refusal, "503": refusal}}},
        "/token/offline": {"post": {"tags": ["authority"], "summary": "A token for use without the authority.",
            "operationId": "offline_token", "requestBody": optional(&offline),
            "responses": {"200": answer(&json!({"type": "object", "required": ["jwt", "expires"], "properties":
                {"jwt": {"type": "string"}, "expires": {"type": "string", "format": "date-time"}}}))}}},
        "/jwks": {"get": {"tags": ["authority"], "summary": "Keys that verify tokens.", "operationId": "jwks",
            "responses": {"200": answer(&json!({"type": "object", "required": ["keys"]}))}}},
        "/.well-known/openid-configuration": {"get": {"tags": ["authority"], "summary": "Where things are (OpenID Connect Discovery).",
            "operationId": "discovery", "responses": {"200": answer(&json!({"type": "object", "required": ["issuer", "jwks_uri"]}))}}},
        "/internal/revocations/export": {"get": {"tags": ["authority"], "summary": "The signed list of revocations.",
            "operationId": "revocations", "security": key,
            "responses": {"200": answer(&object()), "401": refused("401"), "503": refused("503")}}},
        "/internal/signing/rotate": {"post": {"tags": ["authority"], "summary": "Lets another key sign.",
            "operationId": "rotate_key", "security": key, "requestBody": body(&rotate),
            "responses": {"200": answer(&object()), "401": refused("401"), "503": refused("503")}}},
        "/api/v1/admin/users": {
            "get": {"tags": ["authority"], "summary": "Users.", "operationId": "users", "responses": {"200": answer(&list())}},
            "post": {"tags": ["authority"], "summary": "Makes a user.", "operationId": "add_user", "requestBody": body(&user),
                "responses": {"201": answer(&object())}}},
        "/api/v1/admin/users/{name}": {"patch": {"tags": ["authority"], "summary": "Lets a user in no more, or again.",
            "operationId": "change_user", "parameters": [in_path("name")], "requestBody": body(&change),
            "responses": {"200": answer(&object())}}},
        "/api/v1/admin/clients": {
            "get": {"tags": ["authority"], "summary": "Clients.", "operationId": "clients", "responses": {"200": answer(&list())}},
            "post": {"tags": ["authority"], "summary": "Makes a client, and tells its secret.", "operationId": "add_client",
                "requestBody": body(&client), "responses": {"201": answer(&object())}}},
        "/api/v1/admin/clients/{id}": {"patch": {"tags": ["authority"], "summary": "Lets a client in no more, or again.",
            "operationId": "change_client", "parameters": [in_path("id")], "requestBody": body(&change),
            "responses": {"200": answer(&object())}}},
        "/api/v1/admin/clients/{id}/secret": {"post": {"tags": ["authority"], "summary": "Another secret for a client.",
            "operationId": "rotate_client", "parameters": [in_path("id")], "responses": {"200": answer(&object())}}},
        "/api/v1/admin/tenants": {"get": {"tags": ["authority"], "summary": "Tenants that clients and users speak for.",
            "operationId": "tenants", "responses": {"200": answer(&list())}}},
        "/healthz": {"get": {"tags": ["service"], "summary": "Whether the process lives.", "operationId": "healthz",
            "security": [], "responses": {"200": answer(&json!({"const": "ok"}))}}},
        "/readyz": {"get": {"tags": ["service"], "summary": "Which part is not ready.", "operationId": "readyz",
            "security": [], "responses": {"200": answer(&json!({})), "503": answer(&json!({}))}}},
        "/version": {"get": {"tags": ["service"], "summary": "What runs.", "operationId": "version", "security": [],
            "responses": {"200": answer(&json!({"type": "object", "required": ["version", "gitSha", "buildDate"]}))}}},
    })
}

fn scopes() -> Vec<&'static str> {
    stella_authority::scope::Scope::ALL.iter().map(|scope| scope.as_str()).collect()
}

fn in_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn body(schema: &Value) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

fn optional(schema: &Value) -> Value {
    json!({"content": {"application/json": {"schema": schema}}})
}

fn answer(schema: &Value) -> Value {
    json!({"description": "As asked.", "content": {"application/json": {"schema": schema}}})
}

fn refused(status: &str) -> Value {
    json!({"$ref": format!("#/components/responses/Problem{status}")})
}

fn object() -> Value {
    json!({"type": "object"})
}

fn list() -> Value {
    json!({"type": "object", "required": ["items", "nextPageToken"], "properties": {
        "items": {"type": "array", "items": {"type": "object"}}, "nextPageToken": {"type": ["string", "null"]}}})
}
