//! What a password must have.

use serde::{Deserialize, Serialize};

use crate::secret::MAX_SECRET;

/// The shortest password where nothing else is said.
pub const MINIMUM_LENGTH: usize = 12;

/// What a password must have. Settings can weaken it, which is said at start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PasswordPolicy {
    /// Characters.
    pub minimum_length: usize,
    /// An upper-case letter.
    pub require_uppercase: bool,
    /// A lower-case letter.
    pub require_lowercase: bool,
    /// A digit.
    pub require_digit: bool,
    /// Anything else.
    pub require_symbol: bool,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            minimum_length: MINIMUM_LENGTH,
            require_uppercase: true,
            require_lowercase: true,
            require_digit: true,
            require_symbol: true,
        }
    }
}

/// What a password lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password needs {}", .0.join(", "))]
pub struct WeakPassword(pub Vec<String>);

impl PasswordPolicy {
    /// Checks `password`.
    ///
    /// # Errors
    /// Everything it lacks.
    pub fn check(&self, password: &str) -> Result<(), WeakPassword> {
        let has = |of: fn(char) -> bool| password.chars().any(of);
        let rules = [
            (password.chars().count() < self.minimum_length, format!("at least {} characters", self.minimum_length)),
            (password.len() > MAX_SECRET, format!("at most {MAX_SECRET} bytes")),
            (password.is_empty(), "to be there".to_owned()),
            (self.require_uppercase && !has(char::is_uppercase), "an upper-case letter".to_owned()),
            (self.require_lowercase && !has(char::is_lowercase), "a lower-case letter".to_owned()),
            (self.require_digit && !has(|c| c.is_ascii_digit()), "a digit".to_owned()),
            (self.require_symbol && !has(|c| !c.is_alphanumeric()), "a symbol".to_owned()),
        ];
        let lacking: Vec<String> = rules.into_iter().filter_map(|(lacks, what)| lacks.then_some(what)).collect();
        if lacking.is_empty() { Ok(()) } else { Err(WeakPassword(lacking)) }
    }

    /// Where the policy is weaker than the default: the key, and what it says.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<(&'static str, String)> {
        let mut weak = Vec::new();
        if self.minimum_length < MINIMUM_LENGTH {
            let what = format!("{} is below {MINIMUM_LENGTH}", self.minimum_length);
            weak.push(("passwordPolicy.minimumLength", what));
        }
        for (key, required) in [
            ("passwordPolicy.requireUppercase", self.require_uppercase),
            ("passwordPolicy.requireLowercase", self.require_lowercase),
            ("passwordPolicy.requireDigit", self.require_digit),
            ("passwordPolicy.requireSymbol", self.require_symbol),
        ] {
            if !required {
                weak.push((key, "a class of characters is not required".to_owned()));
            }
        }
        weak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_characters_of_four_classes_are_needed() {
        let policy = PasswordPolicy::default();
        assert_eq!(policy.check("Correct-horse7"), Ok(()));
        let lacks = |password: &str| policy.check(password).unwrap_err().to_string();
        assert_eq!(lacks("Correct-hor7"[..11].as_ref()), "the password needs at least 12 characters, a digit");
        assert_eq!(lacks("correct-horse7"), "the password needs an upper-case letter");
        assert_eq!(lacks("CORRECT-HORSE7"), "the password needs a lower-case letter");
        assert_eq!(lacks("Correct-horses"), "the password needs a digit");
        assert_eq!(lacks("CorrectHorse77"), "the password needs a symbol");
        assert!(policy.check(&"Aa1-".repeat(300)).is_err());
    }

    #[test]
    fn a_weaker_policy_names_its_keys() {
        let policy = PasswordPolicy { minimum_length: 8, require_symbol: false, ..PasswordPolicy::default() };
        let keys: Vec<&str> = policy.weaknesses().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["passwordPolicy.minimumLength", "passwordPolicy.requireSymbol"]);
        assert!(PasswordPolicy::default().weaknesses().is_empty());
        assert!(PasswordPolicy { minimum_length: 0, ..policy }.check("").is_err());
    }
}
