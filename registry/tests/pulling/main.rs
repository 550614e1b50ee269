//! Pulls from a real registry, from one that a test leads, and from a hostile one; and what is attached to images there.

mod attachments;
mod distribution;
mod downloads;
mod hostile;
mod pulls;
mod referrers;
mod support;
