//! A registry of small images, which answers slowly and now and then not at all.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::Uri;

use super::millis;
use crate::images::{Blobs, status};
use crate::numbers::Numbers;

/// What a tag begins with that no image has.
const ABSENT: &str = "absent";

/// A registry on a port of its own, by plain HTTP.
pub struct Images {
    /// Its host and port.
    pub host: String,
    task: tokio::task::JoinHandle<()>,
}

impl Images {
    pub async fn serve(seed: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (kept, numbers) = (Arc::<Mutex<Blobs>>::default(), Arc::new(Mutex::new(Numbers::of(seed))));
        let answer = move |uri: Uri| {
            let (kept, numbers) = (Arc::clone(&kept), Arc::clone(&numbers));
            async move {
                let (slow, broken) = {
                    let mut numbers = numbers.lock().unwrap();
                    (millis(&mut numbers, 5..80), numbers.below(40) == 0)
                };
                tokio::time::sleep(slow).await;
                if broken { status(503) } else { kept.lock().unwrap().answer(uri.path()) }
            }
        };
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, task }
    }

    /// The name of image `number`. Of seven one is not there.
    pub fn reference(&self, number: u64) -> String {
        let tag = if number % 7 == 6 { ABSENT } else { "tag" };
        format!("{}/team/app:{tag}-{number}", self.host)
    }

    /// Whether the registry has what `reference` names.
    pub fn has(reference: &str) -> bool {
        !reference.contains(ABSENT)
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        self.task.abort();
    }
}
