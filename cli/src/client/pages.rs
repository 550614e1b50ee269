//! Lists that come in pages (http.md, "Paging").

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Call, Client, ClientError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    items: Vec<T>,
    next_page_token: Option<String>,
}

impl Client {
    /// The items of every page that `call` begins.
    ///
    /// # Errors
    /// As [`Client::json`], and when the server gives the same page again.
    pub async fn pages<T: DeserializeOwned>(&self, call: &Call) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let asked = match &token {
                Some(token) => call.clone().query("pageToken", token.as_str()),
                None => call.clone(),
            };
            let page: Page<T> = self.json(&asked).await?;
            items.extend(page.items);
            match page.next_page_token {
                None => return Ok(items),
                next if next == token => {
                    return Err(ClientError::Answer { call: call.name(), reason: "a page follows itself".to_owned() });
                }
                next => token = next,
            }
        }
    }
}
