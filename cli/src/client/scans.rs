//! Following a scan until it is done.

use std::time::Duration;

use stella_api::client::{Client, ClientError};
use stella_api::scan::ScanState;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Questions in a row that may stay unanswered, as while the server is replaced.
const MISSES: u32 = 6;

/// Why a scan has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The server cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The scan failed.
    #[error("scan {scan_id} failed: {reason}")]
    Failed {
        /// The scan.
        scan_id: String,
        /// Why.
        reason: String,
    },
    /// Somebody cancelled it.
    #[error("scan {0} was cancelled")]
    Cancelled(String),
    /// It is in a state that this release does not know.
    #[error("scan {scan_id} is in the unknown state '{status}'")]
    Unknown {
        /// The scan.
        scan_id: String,
        /// The state.
        status: String,
    },
}

/// Asks for the scan at `location` until it has succeeded, less often as time goes by.
///
/// # Errors
/// When it fails, is cancelled, or cannot be asked for.
pub async fn finished(client: &Client, location: &str) -> Result<ScanState, ScanError> {
    let (mut wait, mut misses) = (FIRST_WAIT, 0);
    loop {
        match client.scan_at(location).await {
            Ok(state) => {
                misses = 0;
                if let Some(state) = ended(state)? {
                    return Ok(state);
                }
            }
            Err(error) if error.is_transient() && misses < MISSES => misses += 1,
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 3 / 2).min(LONGEST_WAIT);
    }
}

/// The state when it is the good end, nothing while there is more to come.
fn ended(state: ScanState) -> Result<Option<ScanState>, ScanError> {
    let scan_id = state.scan_id.clone();
    match state.status.as_str() {
        "Succeeded" => Ok(Some(state)),
        "Pending" | "Running" => Ok(None),
        "Cancelled" => Err(ScanError::Cancelled(scan_id)),
        "Failed" => {
            let reason = state.failure_reason.unwrap_or_else(|| "no reason given".to_owned());
            Err(ScanError::Failed { scan_id, reason })
        }
        _ => Err(ScanError::Unknown { scan_id, status: state.status }),
    }
}
