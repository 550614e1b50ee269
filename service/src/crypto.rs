//! One TLS crypto provider for the whole process.

/// Makes ring the provider of every rustls user in the process. Call it first thing in `main`: a library that finds
/// no provider panics. Calling it again changes nothing.
pub fn install() {
    // The error only says that a provider is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
