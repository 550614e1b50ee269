//! Lists the feeds of a server.

use stella_api::client::{Client, Credential, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Whatever speaks TLS by rustls takes its cryptography from here.
    rustls::crypto::ring::default_provider().install_default().expect("nothing was installed before");
    let client = Client::new(Settings {
        server: "https://stella.example".to_owned(),
        credential: Credential::File("token".into()),
        ca_file: Some("ca.pem".into()),
        ..Settings::default()
    })?;
    for feed in client.feeds().await? {
        println!("{}: {} advisories", feed.name, feed.advisories);
    }
    Ok(())
}
