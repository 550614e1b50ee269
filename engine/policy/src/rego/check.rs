//! What is wrong with a Rego source, with line and column.

use regorus::unstable::{Lexer, Source, TokenKind};

use super::Rejected;
use super::builtins::refusal;
use super::limits::RegoLimits;
use crate::issue::{Issue, IssueCode, Position};

/// Deepest nesting of brackets. The parser tries each of them in several ways, so that its work doubles and more with each.
const MAX_DEPTH: usize = 12;
/// Most operators around one place, as the compiler descends into each.
const MAX_OPERATORS: usize = 100;
/// Largest exponent of a number; the parser writes it out, even that of zero.
const MAX_EXPONENT: i64 = 308;

/// Looks at `source`: calls that are refused, and whatever keeps it from being compiled.
pub(crate) fn check(source: &str) -> Vec<Issue> {
    let mut issues = refused_calls(source);
    if issues.is_empty()
        && let Err(rejected) = super::compiled(source, RegoLimits::default())
    {
        issues.push(told(&rejected));
    }
    issues
}

/// Every name that is refused, wherever it stands: also as a value of `with`, or handed on under another name.
pub(super) fn refused_calls(source: &str) -> Vec<Issue> {
    let Ok(source) = Source::from_contents(super::FILE.to_owned(), source.to_owned()) else { return Vec::new() };
    let mut lexer = Lexer::new(&source);
    let mut issues = Vec::new();
    let mut nesting = Nesting::default();
    let (mut name, mut at) = (String::new(), Position::default());
    let mut dotted = false;
    // What cannot be read as tokens is the compiler's to tell.
    while let Ok(token) = lexer.next_token() {
        let text = token.1.text();
        if let Some(refused) = nesting.take(&token.0, text) {
            let at = Position { line: token.1.line, column: token.1.col };
            let message = format!("{refused} at line {}, column {}", at.line, at.column);
            issues.push(Issue::new(IssueCode::RegoSyntax, "$.rego", message).at(at));
            break;
        }
        match token.0 {
            TokenKind::Eof => break,
            TokenKind::Ident if dotted => {
                name.push_str(text);
                dotted = false;
            }
            TokenKind::Ident => {
                name = text.to_owned();
                at = Position { line: token.1.line, column: token.1.col };
            }
            TokenKind::Symbol if text == "." && !name.is_empty() => {
                name.push('.');
                dotted = true;
            }
            _ => {
                if text == "("
                    && let Some(reason) = refusal(&name)
                {
                    let message = format!("{name} is refused at line {}, column {}: {reason}", at.line, at.column);
                    issues.push(Issue::new(IssueCode::RegoBuiltinRefused, "$.rego", message).at(at));
                }
                name.clear();
                dotted = false;
            }
        }
    }
    issues
}

/// How deep the compiler would have to descend: it knows no bounds of its own, and its stack has one.
struct Nesting {
    /// Operators of the expression at hand, for each open bracket.
    open: Vec<usize>,
    /// Whether an operand has just ended.
    operand: bool,
}

impl Default for Nesting {
    fn default() -> Self {
        Self { open: vec![0], operand: false }
    }
}

impl Nesting {
    /// Takes the next token; says what is too much.
    fn take(&mut self, kind: &TokenKind, text: &str) -> Option<String> {
        let mut innermost = self.open.pop().unwrap_or_default();
        match (kind, text) {
            (TokenKind::Symbol, "(" | "[" | "{") | (TokenKind::Ident, "set(") => {
                self.open.push(innermost + 1);
                (innermost, self.operand) = (0, false);
            }
            (TokenKind::Symbol, ")" | "]" | "}") => {
                innermost = self.open.pop().unwrap_or_default();
                self.operand = true;
            }
            (TokenKind::Symbol, "," | ";") => (innermost, self.operand) = (0, false),
            (TokenKind::Symbol, ".") => self.operand = false,
            (TokenKind::Symbol, _) | (TokenKind::Ident, "in") => {
                innermost += 1;
                self.operand = false;
            }
            // `1-1` has no token of its own for the sign.
            (TokenKind::Number, _) if text.starts_with('-') => {
                innermost += 1;
                self.operand = true;
            }
            (TokenKind::Eof, _) => {}
            _ => {
                // Two operands side by side: another literal begins.
                if self.operand {
                    innermost = 0;
                }
                self.operand = true;
            }
        }
        self.open.push(innermost);
        let exponent = text.rsplit_once(['e', 'E']).and_then(|(_, exponent)| exponent.parse::<i64>().ok());
        if self.open.len() - 1 > MAX_DEPTH {
            Some(format!("brackets stand more than {MAX_DEPTH} deep"))
        } else if self.open.iter().sum::<usize>() > MAX_OPERATORS {
            Some(format!("more than {MAX_OPERATORS} operators stand in one expression"))
        } else if matches!(kind, TokenKind::Number) && exponent.unwrap_or_default() > MAX_EXPONENT {
            Some("a number is too large".to_owned())
        } else {
            None
        }
    }
}

/// The same as an issue. The compiler's message begins with `--> policy.rego:LINE:COLUMN`.
pub(super) fn told(rejected: &Rejected) -> Issue {
    let message = rejected.to_string();
    let at = position(&message);
    let said = message.lines().find_map(|line| line.trim().strip_prefix("error: ")).unwrap_or(&message);
    let said: String = said.chars().take(300).collect();
    let code = match rejected {
        Rejected::Compiler(_) => IssueCode::RegoSyntax,
        Rejected::Package(_) => IssueCode::RegoPackageWrong,
        Rejected::Entrypoint => IssueCode::RegoEntrypointMissing,
        Rejected::Builtin { .. } => IssueCode::RegoBuiltinRefused,
    };
    match at {
        Some(at) => Issue::new(code, "$.rego", format!("{said} at line {}, column {}", at.line, at.column)).at(at),
        None => Issue::new(code, "$.rego", said),
    }
}

fn position(message: &str) -> Option<Position> {
    let (_, rest) = message.split_once(super::FILE)?;
    let mut numbers = rest.strip_prefix(':')?.split(|c: char| !c.is_ascii_digit());
    let line = numbers.next()?.parse().ok()?;
    let column = numbers.next()?.parse().ok()?;
    Some(Position { line, column })
}
