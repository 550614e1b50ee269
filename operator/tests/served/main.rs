//! What a running operator answers, asked over HTTP, and what is left when it is killed.

mod authority;
mod away;
mod blobs;
mod crashes;
mod credentials;
mod database;
mod disk;
mod exports;
mod feeds;
mod flood;
mod images;
mod limits;
mod moved;
#[path = "../numbers/mod.rs"]
mod numbers;
mod pulls;
mod rates;
mod replicas;
mod running;
mod scopes;
mod signed;
mod streams;
mod tenants;
mod traces;
mod unowned;
mod uploads;
