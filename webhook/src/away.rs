//! Whether what the operator did not answer is worth asking again.

use stella_api::client::{ClientError, StatusCode};

/// Whether the same question may be answered later: the operator is away or busy, or does not know this process's token (yet).
pub(crate) fn may_pass(error: &ClientError) -> bool {
    let waits =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    error.status().is_none_or(|status| !status.is_client_error() || waits.contains(&status))
}

/// Whether another question would be answered no better: nobody answers, or whoever does is too busy for all.
pub(crate) fn is_away(error: &ClientError) -> bool {
    let busy = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    error.status().is_none_or(|status| busy.contains(&status))
}

#[cfg(test)]
mod tests {
    use stella_api::client::Refusal;

    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_never_will() {
        let judged = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            let refusal = Refusal { call: "POST /x".to_owned(), status, problem: None, retry_after: None };
            let error = ClientError::Refused(Box::new(refusal));
            (may_pass(&error), is_away(&error))
        };
        for (status, expected) in [
            (400, (false, false)),
            (401, (true, false)),
            (403, (true, false)),
            (429, (true, true)),
            (500, (true, false)),
            (503, (true, true)),
        ] {
            assert_eq!(judged(status), expected, "{status}");
        }
        let no_token = ClientError::NoToken(Box::new(ClientError::Token("the token".to_owned())));
        assert!(may_pass(&no_token) && is_away(&no_token));
    }
}
