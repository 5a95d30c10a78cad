//! Patterns of `SCAN`, `HSCAN`, `SSCAN` and `CONFIG GET`: `*`, `?`, `[a-c]`, `[^a]` and `\`.

pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else { return text.is_empty() };
    match first {
        b'*' => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        b'[' => {
            let Some((&byte, after)) = text.split_first() else { return false };
            let (accepted, rest) = class(rest, byte);
            accepted && matches(rest, after)
        }
        b'?' => !text.is_empty() && matches(rest, &text[1..]),
        _ => {
            let (literal, rest) = match (first, rest.split_first()) {
                (b'\\', Some((&escaped, rest))) => (escaped, rest),
                _ => (first, rest),
            };
            text.first() == Some(&literal) && matches(rest, &text[1..])
        }
    }
}

/// Whether the class that begins here takes the byte, and what follows the class.
fn class(mut pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut found = false;
    let negated = pattern.first() == Some(&b'^');
    if negated {
        pattern = &pattern[1..];
    }
    loop {
        pattern = match pattern {
            [] => return (found != negated, pattern),
            [b']', rest @ ..] => return (found != negated, rest),
            [b'\\', escaped, rest @ ..] => {
                found |= *escaped == byte;
                rest
            }
            [low, b'-', high, rest @ ..] if *high != b']' => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("h?llo", "hello", true),
            ("h[a-e]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
