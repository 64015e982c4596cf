//! What others wrote, made fit for a terminal.

/// Longest text of others in a line; longest line that is made of several.
const CHARS_MAX: usize = 120;
const LINE_CHARS_MAX: usize = 400;

/// Text that neither commands a terminal nor reorders what stands beside it, and that
/// does not fill the screen.
#[must_use]
pub fn clean(text: &str) -> String {
    clean_to(CHARS_MAX, text)
}

/// The same for a whole line.
#[must_use]
pub(super) fn clean_line(text: &str) -> String {
    clean_to(LINE_CHARS_MAX, text)
}

fn clean_to(chars_max: usize, text: &str) -> String {
    let shown = |c: char| if c.is_control() || is_format(c) { '?' } else { c };
    let mut clean: String = text.chars().take(chars_max).map(shown).collect();
    if text.chars().nth(chars_max).is_some() {
        clean.push('…');
    }
    clean
}

/// Characters without a shape, which change the direction or the look of others.
fn is_format(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(clean("\u{1b}[2J\u{9b}31m\r\nx\u{7f}"), "?[2J?31m??x?");
        assert_eq!(clean("\u{202E}live\u{2066}\u{200b}"), "?live??");
        assert_eq!(clean("Jörg Ærø 😀"), "Jörg Ærø 😀");
        assert_eq!(clean(&"x".repeat(121)).chars().count(), 121);
    }
}
