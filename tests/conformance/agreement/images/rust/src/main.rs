//! A program that is there to be looked at: its crates have advisories.

fn main() {
    let list: smallvec::SmallVec<[u8; 4]> = smallvec::SmallVec::new();
    let cache: lru::LruCache<u8, u8> = lru::LruCache::new(2);
    let tree: Result<serde_yaml::Value, _> = serde_yaml::from_str("a: 1");
    let expression = regex::Regex::new("a+");
    println!("{} {} {:?} {:?} {:?} {}", list.len(), cache.len(), tree.is_ok(), expression.is_ok(), chrono::Utc::now(), time::now().tm_year);
}
