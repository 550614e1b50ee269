//! Foreign text on its way to a page: nothing of it is markup, and nothing of it hides.

use std::fmt::Write as _;

/// Most characters that one piece of foreign text fills.
const LONGEST: usize = 600;

/// What may be shown: control characters and those that turn the direction of text are replaced, and it ends somewhere.
fn shown(text: &str) -> impl Iterator<Item = char> {
    let cut = text.chars().nth(LONGEST).map(|_| '…');
    text.chars().take(LONGEST).map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).chain(cut)
}

fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    turns || c.is_control() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{feff}')
}

/// As text or a quoted attribute of HTML.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in shown(text) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// As text of Markdown, within a line and a table's cell too. Addresses are broken up so that none becomes a link.
pub(super) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in shown(text) {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '|' => out.push_str("&#124;"),
            '/' if out.ends_with('/') => out.push_str("&#47;"),
            '.' if out.ends_with("www") || out.ends_with("WWW") => out.push_str("&#46;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '~' | '$' => {
                let _ = write!(out, "\\{c}");
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(html(r#"<a href='x' b="y">&"#), "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;");
        assert_eq!(markdown("[x](y) **z** <b>|`"), r"\[x\]\(y\) \*\*z\*\* &lt;b&gt;&#124;\`");
        assert_eq!(markdown("http://www.x/a @b"), "http:/&#47;www&#46;x/a &#64;b");
    }

    #[test]
    fn nothing_hides_and_nothing_runs_on() {
        assert_eq!(html("a\u{202e}b\n\u{0}\u{200b}"), "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(html(&"x".repeat(5_000)).chars().count(), LONGEST + 1);
    }

    proptest::proptest! {
        #[test]
        fn no_markup_survives(text: String) {
            let out = html(&text);
            proptest::prop_assert!(!out.contains(['<', '>', '"', '\'', '\n']));
            let out = markdown(&text);
            proptest::prop_assert!(!out.contains(['<', '>', '|', '@', '\n', '\r']), "{}", out);
        }
    }
}
