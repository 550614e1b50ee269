//! Functions whose answer may be far longer than their arguments: its size is reckoned before it is made.

use regorus::Value;
use regorus::unstable::{BUILTINS, Expr, Lexer, Ref, Source, Span};

/// Longest range, in numbers.
const MAX_RANGE: i64 = 100_000;
/// Widest field of `sprintf`.
const MAX_WIDTH: usize = 1000;
/// Furthest shift of a number to the left, in bits.
const MAX_SHIFT: u64 = 4096;

/// Why a call is not made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its answer would be too large.
    Size,
    /// The engine does not know it.
    Unknown,
}

/// Calls functions on behalf of a machine.
pub(super) struct Caller {
    span: Span,
    exprs: Vec<Ref<Expr>>,
}

impl Caller {
    /// A caller whose messages name no place.
    pub fn new() -> Option<Self> {
        let source = Source::from_contents("call".to_owned(), "null".to_owned()).ok()?;
        let span = Lexer::new(&source).next_token().ok()?.1;
        let expr = || Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
        Some(Self { exprs: vec![expr(), expr(), expr()], span })
    }

    /// Calls `name` when its answer has at most `room` bytes; gives the answer and its reckoned size. What the function itself
    /// refuses is undefined, as everywhere in Rego.
    pub fn call(&self, name: &str, arguments: &[Value], room: usize) -> Result<(Value, usize), Refused> {
        let size = reckoned(name, arguments, room).ok_or(Refused::Size)?;
        if size > room {
            return Err(Refused::Size);
        }
        let (function, _) = BUILTINS.get(name).ok_or(Refused::Unknown)?;
        let exprs = self.exprs.get(..arguments.len()).ok_or(Refused::Unknown)?;
        Ok((function(&self.span, exprs, arguments, false).unwrap_or(Value::Undefined), size))
    }
}

/// An upper bound of the answer's size in bytes, or nothing where it passes every bound.
fn reckoned(name: &str, arguments: &[Value], room: usize) -> Option<usize> {
    let weights = arguments.iter().map(|value| weight(value, room)).collect::<Option<Vec<_>>>()?;
    let all: usize = weights.iter().sum();
    match (name, arguments) {
        ("replace", [text, old, new]) => {
            let (text, old, new) = (length(text), length(old), length(new));
            let times = text.checked_div(old).unwrap_or(text + 1);
            text.checked_add(times.checked_mul(new)?)
        }
        ("concat", [delimiter, list]) => {
            let gaps = match list {
                Value::Array(list) => list.iter().len(),
                Value::Set(set) => set.len(),
                _ => 0,
            };
            all.checked_add(gaps.checked_mul(length(delimiter))?)
        }
        ("numbers.range", [Value::Number(from), Value::Number(to)]) if from.is_integer() && to.is_integer() => {
            let numbers = to.as_i64()?.checked_sub(from.as_i64()?)?.checked_abs()?;
            (numbers < MAX_RANGE).then(|| usize::try_from(numbers + 1).unwrap_or_default() * size_of::<Value>())
        }
        ("bits.lsh", [_, by]) => match by.as_u64() {
            Ok(by) if by > MAX_SHIFT => None,
            _ => Some(all + 512),
        },
        ("sprintf", [Value::String(format), _]) => widths(format).map(|widths| widths + 2 * all),
        // A text within JSON can grow sixfold: `\u0000`.
        ("json.marshal", _) => all.checked_mul(6),
        _ => Some(all),
    }
}

fn length(value: &Value) -> usize {
    if let Value::String(text) = value { text.len() } else { 0 }
}

/// Bytes of a value written out, counting shared parts each time they occur; nothing once it passes `most`.
pub(super) fn weight(value: &Value, most: usize) -> Option<usize> {
    let mut weight = 0_usize;
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        // Three bits are about a decimal digit.
        let digits = match value {
            Value::Number(number) => number.as_big().map_or(16, |big| usize::try_from(big.bits() / 3).unwrap_or(most)),
            _ => 0,
        };
        weight = weight.checked_add(8 + length(value))?.checked_add(digits)?;
        if weight + rest.len() > most {
            return None;
        }
        match value {
            Value::Array(list) => rest.extend(list.iter()),
            Value::Set(set) => rest.extend(set.iter()),
            Value::Object(object) => rest.extend(object.iter().flat_map(|(key, value)| [key, value])),
            _ => {}
        }
    }
    Some(weight)
}

/// The sum of all widths and precisions of a format, or nothing where one is too wide.
fn widths(format: &str) -> Option<usize> {
    let mut sum = 0_usize;
    for part in format.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()) {
        let width = part.parse::<usize>().ok().filter(|width| *width <= MAX_WIDTH)?;
        sum += width;
    }
    Some(sum)
}
