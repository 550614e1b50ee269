//! How sure an answer is: the rung of the ladder that it stands on.
//!
//! ```text
//!   fresh ──> stale ──> bundle ──> known-denial ──> default
//!   the server was heard │ its grace │ signed, and not expired │ what was refused stays refused │ nobody can say
//! ```

use serde::{Deserialize, Serialize};
use stella_domain::Timestamp;

use super::{NoVerdicts, Settings};
use crate::verdicts::{Bundled, Held, View};

/// A clock that is set back makes what was heard lie in the future. Up to here that is taken for the present; beyond it nobody
/// can say how old it is.
const AHEAD_SECONDS: i64 = 300;

/// What an answer rests on, best first. Named in audit annotations and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Verdicts of a server that was heard within their time to live.
    #[default]
    Fresh,
    /// Verdicts in the grace after it.
    Stale,
    /// Verdicts of a signed bundle.
    Bundle,
    /// A refusal by verdicts that have ended: what was refused stays refused.
    KnownDenial,
    /// Nothing is known; the failure policy decides, or what is set in its place.
    Default,
}

impl Rung {
    /// The name, as label and in annotations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Bundle => "bundle",
            Self::KnownDenial => "known-denial",
            Self::Default => "default",
        }
    }
}

/// What there is to judge by.
#[derive(Debug)]
pub(super) struct Basis<'a> {
    pub(super) rung: Rung,
    pub(super) view: &'a View,
    /// When the server vouched for it.
    pub(super) heard_at: Option<Timestamp>,
    /// Why nobody vouches for it; set on the rungs below a bundle.
    pub(super) missing: Option<NoVerdicts>,
}

/// The best there is to judge by at `now`.
pub(super) fn basis<'a>(held: &'a Held, bundle: Option<&'a Bundled>, settings: &Settings, now: Timestamp) -> Basis<'a> {
    let missing = match vouched_for(held, settings, now) {
        Ok(rung) => return Basis { rung, view: &held.view, heard_at: held.heard_at, missing: None },
        Err(missing) => missing,
    };
    if let Some(bundle) = bundle.filter(|bundle| bundle.holds_at(now)) {
        return Basis { rung: Rung::Bundle, view: &bundle.view, heard_at: Some(bundle.issued_at), missing: None };
    }
    // A bundle that has expired knows refusals, too.
    let (view, heard_at) = match (held.view.policy_revision.is_some(), bundle) {
        (false, Some(bundle)) => (&bundle.view, Some(bundle.issued_at)),
        _ => (&held.view, held.heard_at),
    };
    Basis { rung: Rung::KnownDenial, view, heard_at, missing: Some(missing) }
}

fn vouched_for(held: &Held, settings: &Settings, now: Timestamp) -> Result<Rung, NoVerdicts> {
    let heard_at = held.heard_at.filter(|_| held.view.policy_revision.is_some()).ok_or(NoVerdicts::Never)?;
    match now.seconds_since(heard_at) {
        seconds if seconds < -AHEAD_SECONDS => Err(NoVerdicts::Ahead { heard_at, seconds: -seconds }),
        seconds if seconds <= settings.fresh_seconds => Ok(Rung::Fresh),
        seconds if seconds <= settings.verdict_seconds => Ok(Rung::Stale),
        seconds => Err(NoVerdicts::Ended { heard_at, seconds }),
    }
}
