//! What a refusal says, in one line.

use reqwest::StatusCode;
use stella_api::problem::Problem;

/// The problem document of an answer (RFC 9457); of anything else the status alone, since proxies answer with pages.
pub(super) fn describe(status: StatusCode, body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return status.to_string();
    };
    let mut text = format!("{} {}", status.as_u16(), problem.title);
    if !problem.detail.is_empty() && problem.detail != problem.title {
        text = format!("{text}: {}", problem.detail);
    }
    for error in &problem.errors {
        text = format!("{text}; {}: {}", error.path, error.msg);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_fields() {
        let body = br#"{"type":"https://stella-ops.org/probs/validation","title":"Validation failed","status":400,
            "detail":"one field","errors":[{"path":"$.layers[0]","msg":"not a digest"}]}"#;
        let text = describe(StatusCode::BAD_REQUEST, body);
        assert_eq!(text, "400 Validation failed: one field; $.layers[0]: not a digest");
        assert_eq!(describe(StatusCode::BAD_GATEWAY, b"<html>"), "502 Bad Gateway");
    }
}
