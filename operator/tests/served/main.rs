//! What a running operator answers, asked over HTTP, and what is left when it is killed.

mod authority;
mod away;
mod crashes;
mod database;
mod disk;
mod flood;
mod limits;
#[path = "../numbers/mod.rs"]
mod numbers;
mod pulls;
mod rates;
mod replicas;
mod running;
mod scopes;
mod tenants;
