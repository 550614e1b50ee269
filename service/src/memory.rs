//! Memory of the process.

/// Keeps the kernel from giving this process pages of two megabytes for what it uses a few kilobytes of: an allocator that asks for them
/// by segments held 25 MiB of an idle server that nothing was in. A kernel that knows no such setting leaves things as they are.
pub fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "large pages stay allowed");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_large_pages_are_asked_for() {
        super::use_small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
