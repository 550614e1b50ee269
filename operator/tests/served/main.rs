//! What a running operator answers, asked over HTTP.

mod authority;
mod limits;
mod replicas;
mod running;
mod scopes;
mod tenants;
