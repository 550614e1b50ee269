//! The action of a rule, in any of its spellings.
//!
//! `action: block`, `action: {type: block}` and `action: {block: {}}` say the same. `quiet`, `justification` and `until` stand
//! in the action or, where that is a single word, in the rule.

use serde_json::Value;

use super::fields::{Fields, cut};
use crate::action::{Action, ActionKind, Escalation};
use crate::issue::IssueCode;
use crate::vex::VexRequirement;

const KNOWN: &[&str] = &[
    "type",
    "block",
    "ignore",
    "warn",
    "defer",
    "escalate",
    "requireVex",
    "minimumSeverity",
    "requireKev",
    "epssMin",
    "vendors",
    "justifications",
    "quiet",
    "justification",
    "until",
];

pub(super) fn action(rule: &mut Fields<'_, '_>) -> Option<Action> {
    let path = rule.path_of("action");
    let modifiers = Modifiers::of(rule);
    match rule.get("action") {
        None => {
            rule.note(IssueCode::RuleActionMissing, path, "A rule needs an action");
            None
        }
        Some(Value::String(name)) => {
            let kind = plain_kind(name);
            if kind.is_none() {
                rule.note(IssueCode::RuleActionInvalid, path, unknown(name));
            }
            kind.map(|kind| modifiers.apply(Action::plain(kind)))
        }
        Some(value) => {
            let mut fields = Fields::of(value, path, KNOWN, rule.issues())?;
            let own = Modifiers::of(&mut fields);
            let action = object(&mut fields)?;
            Some(modifiers.apply(own.apply(action)))
        }
    }
}

const ESCALATION: &[&str] = &["minimumSeverity", "requireKev", "epssMin"];
const REQUIREMENT: &[&str] = &["vendors", "justifications"];

struct Modifiers {
    quiet: bool,
    justification: Option<String>,
    until: Option<stella_domain::Timestamp>,
}

impl Modifiers {
    fn of(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            quiet: fields.flag("quiet").unwrap_or_default(),
            justification: fields.text("justification"),
            until: fields.instant("until", IssueCode::RuleInstantInvalid),
        }
    }

    /// What the action does not say itself.
    fn apply(&self, action: Action) -> Action {
        Action {
            quiet: action.quiet || self.quiet,
            justification: action.justification.clone().or_else(|| self.justification.clone()),
            until: action.until.or(self.until),
            ..action
        }
    }
}

/// The kinds that a single word names; an escalation needs its parameter.
fn plain_kind(name: &str) -> Option<ActionKind> {
    let kinds = [ActionKind::Block, ActionKind::Ignore, ActionKind::Warn, ActionKind::Defer];
    if name.eq_ignore_ascii_case("requireVex") {
        return Some(ActionKind::RequireVex(VexRequirement::default()));
    }
    kinds.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> String {
    if name.eq_ignore_ascii_case("escalate") {
        return "An escalation needs minimumSeverity".to_owned();
    }
    format!("Invalid action '{}'; expected one of {}", cut(name), ActionKind::NAMES.join(", "))
}

fn object(fields: &mut Fields<'_, '_>) -> Option<Action> {
    let name = kind_name(fields)?;
    refuse_foreign(fields, &name);
    match name.as_str() {
        "escalate" => {
            let escalation = nested(fields, "escalate", ESCALATION, escalation)??;
            Some(Action::plain(ActionKind::Escalate(escalation)))
        }
        "requireVex" => {
            let requirement = nested(fields, "requireVex", REQUIREMENT, requirement)?;
            Some(Action::plain(ActionKind::RequireVex(requirement)))
        }
        other => {
            let require_vex = match fields.get("requireVex") {
                Some(_) => Some(nested(fields, "requireVex", REQUIREMENT, requirement)?),
                None => None,
            };
            nested(fields, other, &[], |_| ())?;
            plain_kind(other).map(|kind| Action { require_vex, ..Action::plain(kind) })
        }
    }
}

/// The kind is named by `type`, or by the one field that is named like a kind.
fn kind_name(fields: &mut Fields<'_, '_>) -> Option<String> {
    let canonical =
        |name: &str| ActionKind::NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name)).map(str::to_owned);
    if fields.get("type").is_some() {
        let name = fields.text("type")?;
        let path = fields.path_of("type");
        return canonical(&name).or_else(|| {
            fields.note(IssueCode::RuleActionInvalid, path, unknown(&name));
            None
        });
    }
    let named: Vec<_> = ActionKind::NAMES.into_iter().filter(|name| fields.get(name).is_some()).collect();
    // `requireVex` beside another kind is the condition of its `quiet`.
    let named: Vec<_> =
        if named.len() == 2 { named.into_iter().filter(|name| *name != "requireVex").collect() } else { named };
    if let [name] = named[..] {
        return Some(name.to_owned());
    }
    let path = fields.path().to_owned();
    fields.note(
        IssueCode::RuleActionInvalid,
        path,
        format!("Expected exactly one of {}", ActionKind::NAMES.join(", ")),
    );
    None
}

/// Reads parameters from the object named like the kind, or else from the action itself.
fn nested<T>(
    fields: &mut Fields<'_, '_>,
    name: &str,
    known: &[&str],
    read: impl FnOnce(&mut Fields<'_, '_>) -> T,
) -> Option<T> {
    let path = fields.path_of(name);
    match fields.get(name) {
        None => Some(read(fields)),
        Some(value) => Fields::of(value, path, known, fields.issues()).map(|mut inner| read(&mut inner)),
    }
}

fn escalation(fields: &mut Fields<'_, '_>) -> Option<Escalation> {
    let path = fields.path_of("minimumSeverity");
    let Some(text) = fields.text("minimumSeverity") else {
        fields.note(IssueCode::RuleActionInvalid, path, "An escalation needs minimumSeverity");
        return None;
    };
    let (require_kev, epss_min) = (fields.flag("requireKev").unwrap_or_default(), fields.epss("epssMin"));
    match text.parse() {
        Ok(minimum_severity) => Some(Escalation { minimum_severity, require_kev, epss_min }),
        Err(error) => {
            let message = stella_domain::SeverityError::to_string(&error);
            fields.note(IssueCode::RuleSeverityInvalid, path, message);
            None
        }
    }
}

fn requirement(fields: &mut Fields<'_, '_>) -> VexRequirement {
    VexRequirement { vendors: fields.texts("vendors"), justifications: fields.texts("justifications") }
}

/// Parameters and names of one kind mean nothing to another, and a silent one would mislead.
fn refuse_foreign(fields: &mut Fields<'_, '_>, kind: &str) {
    // Parameters stand in the object named like the kind, or beside `type`; not in both.
    let apart = fields.get(kind).is_some();
    let own: &[&str] = match kind {
        "escalate" if !apart => ESCALATION,
        "requireVex" if !apart => REQUIREMENT,
        _ => &[],
    };
    let parameters = ESCALATION.iter().chain(REQUIREMENT).filter(|name| !own.contains(name));
    let quieted = !matches!(kind, "escalate" | "requireVex");
    let kinds = ActionKind::NAMES.iter().filter(|name| **name != kind && !(quieted && **name == "requireVex"));
    for name in parameters.chain(kinds) {
        if fields.get(name).is_some() {
            let path = fields.path_of(name);
            fields.note(IssueCode::RuleActionInvalid, path, format!("'{name}' is no parameter of '{kind}'"));
        }
    }
}
