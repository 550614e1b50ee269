//! Foreign text on its way to a page: nothing of it is markup, and nothing of it hides.

use std::fmt::Write as _;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Most characters that one piece of foreign text fills.
const LONGEST: usize = 600;

/// Most accents on one letter. No language has more, and what is piled up higher covers other lines and cannot be broken.
const PILED: usize = 4;

/// What may be shown: control characters, those that turn the direction of text, and accents piled up are replaced, and it ends
/// somewhere.
fn shown(text: &str) -> impl Iterator<Item = char> {
    let cut = text.chars().nth(LONGEST).map(|_| '…');
    let mut piled = 0;
    let replaced = move |c| {
        piled = if is_accent(c) { piled + 1 } else { 0 };
        if is_hidden(c) || piled > PILED { '\u{fffd}' } else { c }
    };
    text.chars().take(LONGEST).map(replaced).chain(cut)
}

/// Whether `c` is drawn onto the letter before it, in any script (UAX #44, General_Category).
fn is_accent(c: char) -> bool {
    matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
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

/// As text of HTML that keeps the direction of its script to itself: what is written from right to left does not turn the words
/// and numbers around it.
pub(super) fn apart(text: &str) -> String {
    format!("<bdi>{}</bdi>", html(text))
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

    #[test]
    fn accents_of_any_script_are_piled_up_so_far() {
        // Latin, Cyrillic (enclosing), Hebrew, Arabic, Devanagari, Thai, Tibetan.
        let letters = [
            ("o", "\u{301}"),
            ("а", "\u{488}"),
            ("א", "\u{5b8}"),
            ("ب", "\u{64b}"),
            ("क", "\u{941}"),
            ("ก", "\u{e49}"),
            ("ཀ", "\u{f74}"),
        ];
        for (letter, accent) in letters {
            let piled = |n| format!("{letter}{}{letter}{accent}", accent.repeat(n));
            assert_eq!(html(&piled(PILED)), piled(PILED));
            let cut = format!("{letter}{}\u{fffd}\u{fffd}{letter}{accent}", accent.repeat(PILED));
            assert_eq!(html(&piled(PILED + 2)), cut, "{}", accent.escape_unicode());
        }
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
