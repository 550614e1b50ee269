//! Who we are to one repository of one host, and what we found out about it.

use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;

use crate::challenge::{self, Challenge};
use crate::credentials::{Credential, Keyring};
use crate::error::RequestError;
use crate::token::{self, Grant};
use crate::transport::Transport;

/// Refusals in a row before we give up, whatever there is left to try.
const MOST_REFUSALS: u32 = 20;

/// The authorization that requests carry. It is found at the first refusal and again when a token has run out.
#[derive(Debug)]
pub(crate) struct Session {
    host: String,
    repository: String,
    plain: bool,
    keyring: Keyring,
    pushes: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts changes of `header`, so that a refusal of an old one is told from one of the present one.
    turn: u64,
    header: Option<HeaderValue>,
    /// Looked up at the first refusal: a credential helper is not bothered for public images.
    candidates: Option<Vec<Credential>>,
    at: usize,
    /// Whether a request with `header` was answered.
    worked: bool,
    refusals: u32,
}

impl Session {
    pub(crate) fn new(host: String, repository: String, plain: bool, keyring: Keyring) -> Self {
        Self { host, repository, plain, keyring, pushes: false, state: Mutex::default() }
    }

    /// One whose tokens also let write.
    pub(crate) fn pushing(self) -> Self {
        Self { pushes: true, ..self }
    }

    /// The authorization to use now, and its turn.
    pub(crate) async fn current(&self) -> (Option<HeaderValue>, u64) {
        let state = self.state.lock().await;
        (state.header.clone(), state.turn)
    }

    /// The host answered, so the authorization of this turn is good.
    pub(crate) async fn accepted(&self, turn: u64) {
        let mut state = self.state.lock().await;
        if state.turn == turn {
            state.worked = true;
            state.refusals = 0;
        }
    }

    /// The host refused (401, or 403) the authorization of `turn`. Ok means: try again with the present one.
    pub(crate) async fn refused(
        &self,
        transport: &Transport,
        turn: u64,
        status: u16,
        headers: &HeaderMap,
    ) -> Result<(), RequestError> {
        let mut state = self.state.lock().await;
        if state.turn != turn {
            return Ok(());
        }
        state.refusals += 1;
        let had_one = state.header.take().is_some();
        let candidates = match state.candidates.take() {
            Some(candidates) => candidates,
            None => self.keyring.find(&self.host, &self.repository).await?,
        };
        // What worked before has run out and is worth a second try.
        if had_one && !(state.worked && status == 401) {
            state.at += 1;
        }
        let tried = match candidates.len() {
            0 => "without credentials",
            1 => "with the credentials given for it",
            _ => "with each of the credentials given for it",
        };
        let unauthorized = RequestError::Unauthorized { status, tried };
        if status == 403 && state.at < candidates.len() {
            // Without an authorization, the next answer says again what is asked for.
            state.candidates = Some(candidates);
            state.worked = false;
            state.turn += 1;
            return Ok(());
        }
        // Without credentials, there is one turn: the anonymous token.
        let turns = candidates.len().max(1);
        let found = self.next(transport, &mut state, &candidates, turns, status, headers).await;
        state.candidates = Some(candidates);
        state.worked = false;
        state.turn += 1;
        state.header = found?;
        if state.header.is_none() || state.refusals > MOST_REFUSALS { Err(unauthorized) } else { Ok(()) }
    }

    async fn next(
        &self,
        transport: &Transport,
        state: &mut State,
        candidates: &[Credential],
        turns: usize,
        status: u16,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, RequestError> {
        let asked = challenge::of(headers);
        if asked.is_none() && status == 401 {
            return Err(RequestError::Challenge { reason: "it asks for neither a token nor a password" });
        }
        while state.at < turns {
            let credential = candidates.get(state.at);
            let header = match (credential, &asked) {
                (Some(Credential::Token(token)), _) => Some(token::bearer(token.reveal())?),
                (_, Some(Challenge::Bearer { realm, service, scope })) => {
                    let actions = if self.pushes { "pull,push" } else { "pull" };
                    let own = format!("repository:{}:{actions}", self.repository);
                    // To a question, a registry answers with what that needs, which is less than what follows it.
                    let scope = scope.as_deref().filter(|_| !self.pushes).unwrap_or(&own);
                    let grant = Grant { realm, service: service.as_deref(), scope, plain: self.plain };
                    token::fetch(transport, grant, credential).await?
                }
                (Some(Credential::Basic { username, password }), Some(Challenge::Basic)) => {
                    Some(token::basic(username, password.reveal())?)
                }
                _ => None,
            };
            if header.is_some() {
                return Ok(header);
            }
            state.at += 1;
        }
        Ok(None)
    }
}
