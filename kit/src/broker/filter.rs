//! Topic filters (MQTT 5, section 4.7).

/// Whether a filter may be subscribed to: `#` only as the last level, `+` and
/// `#` only as whole levels, nothing empty.
pub(super) fn is_valid(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    if filter.is_empty() {
        return false;
    }
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        if wild && level.len() > 1 || level == "#" && levels.peek().is_some() {
            return false;
        }
    }
    true
}

/// Whether `topic` falls under `filter`, which is valid. Wildcards in the
/// first level do not match topics that begin with `$` (section 4.7.2).
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/+", "/b", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("#", "$SYS/load", false),
            ("$SYS/#", "$SYS/load", true),
            ("é/#", "é/b", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} over {topic}");
        }
        for filter in ["a/+/b", "#", "+", "a/#", "/", "é"] {
            assert!(is_valid(filter), "{filter}");
        }
        for filter in ["", "a#", "a/#/b", "a/b+"] {
            assert!(!is_valid(filter), "{filter}");
        }
    }
}
