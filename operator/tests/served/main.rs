//! What a running operator answers, asked over HTTP, and what is left when it is killed.

mod authority;
mod crashes;
mod credentials;
mod feeds;
mod images;
mod limits;
mod moved;
#[path = "../numbers/mod.rs"]
mod numbers;
mod pulls;
mod replicas;
mod running;
mod scopes;
mod tenants;
mod uploads;
