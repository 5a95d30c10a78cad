//! Numbers as Redis reads and writes them.

use crate::reply::{Bytes, Failure};

/// Strict as Redis is: no plus sign, no leading zeros, no spaces.
pub(crate) fn integer(text: &[u8]) -> Result<i64, Failure> {
    let refused = || Failure::new("ERR value is not an integer or out of range");
    let text = std::str::from_utf8(text).map_err(|_| refused())?;
    let number: i64 = text.parse().map_err(|_| refused())?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let odd = text.starts_with('+') || (digits.starts_with('0') && text != "0");
    if odd { Err(refused()) } else { Ok(number) }
}

pub(crate) fn float(text: &[u8]) -> Result<f64, Failure> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    number.filter(|number| !number.is_nan()).ok_or_else(|| Failure::new("ERR value is not a valid float"))
}

/// As C's `%.17g`, in which Redis 7.0 writes scores and the numbers that a script passes to a command.
pub(crate) fn text_of_float(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if number.is_nan() {
        return "nan".into();
    }
    let scientific = format!("{number:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let fixed = format!("{number:.*}", (16 - exponent) as usize);
        return without_zeros(&fixed).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
}

/// A number of Lua as an argument. Integers below 2^53 are most of them.
pub(crate) fn argument(number: f64) -> Bytes {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return (number as i64).to_string().into_bytes().into();
    }
    text_of_float(number).into_bytes().into()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_c_does() {
        for (number, text) in [
            (3.0, "3"),
            (0.1, "0.10000000000000001"),
            (1e30, "1e+30"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (-0.00001, "-1.0000000000000001e-05"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text_of_float(number), text);
        }
    }

    #[test]
    fn integers_are_strict() {
        for text in ["+1", "01", " 1", "1 ", "", "-", "-0", "1.0", "9223372036854775808"] {
            assert!(integer(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(integer(b"-9223372036854775808"), Ok(i64::MIN));
    }
}
