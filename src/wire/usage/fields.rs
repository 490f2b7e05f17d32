//! Lenient reading of JSON members: whatever stands there becomes a count, with a flag.
//!
//! Values are looked at as the text they are, so that no number can fail to parse or lose digits;
//! of a name that stands twice both are seen, in order.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    money::{Usd, div_half_even},
    wire::scan::{DEPTH, Scan},
};

use super::{Inconsistencies, MAX_COUNT, tier};

/// The text of a JSON value.
pub(super) type Field<'a> = &'a str;

/// Digits of a number that are looked at; the rest is below a pico-dollar.
const SIGNIFICANT: u32 = 30;

/// Shows every member of an object; false for what is no complete object, except null.
pub(super) fn members<'a>(json: &'a str, mut see: impl FnMut(&str, Field<'a>)) -> bool {
    let mut seen = 0_usize;
    let mut scan = Scan::of(json);
    let usual = scan.object(|scan, name| {
        see(name, scan.value(DEPTH)?);
        seen += 1;
        Some(())
    });
    if usual.is_some() {
        return true;
    }
    let mut number = 0_usize;
    let rest = Members(|name: &str, value| {
        number += 1;
        if number > seen {
            see(name, value);
        }
    });
    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_any(rest).is_ok()
}

/// Shows every element of an array; false for what is no complete array, except null.
pub(super) fn elements<'a>(json: &'a str, see: impl FnMut(Field<'a>)) -> bool {
    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_any(Elements(see)).is_ok()
}

/// A count of anything.
pub(super) fn count(value: Field<'_>, flags: &mut Inconsistencies) -> u64 {
    if value.len() <= 12 && value.bytes().all(|b| b.is_ascii_digit()) {
        return value.parse().unwrap_or(0);
    }
    scaled_count(value, 0, flags)
}

/// A count of thousandths, such as milliseconds from seconds.
pub(super) fn thousandths(value: Field<'_>, flags: &mut Inconsistencies) -> u64 {
    scaled_count(value, 3, flags)
}

fn scaled_count(value: Field<'_>, digits: i64, flags: &mut Inconsistencies) -> u64 {
    if value == "null" {
        return 0;
    }
    let number = value.trim_matches('"').trim();
    if number.len() != value.len() || (digits == 0 && number.contains(['.', 'e', 'E'])) {
        flags.add(Inconsistencies::NOT_A_COUNT);
    }
    let Some(scaled) = decimal(number, digits) else {
        let odd = if is_number(number) {
            Inconsistencies::HUGE
        } else {
            Inconsistencies::NOT_A_COUNT
        };
        flags.add(odd);
        return if is_number(number) && !number.starts_with('-') {
            MAX_COUNT
        } else {
            0
        };
    };
    if scaled < 0 {
        flags.add(Inconsistencies::NEGATIVE);
        return 0;
    }
    u64::try_from(scaled)
        .ok()
        .filter(|count| *count <= MAX_COUNT)
        .unwrap_or_else(|| {
            flags.add(Inconsistencies::HUGE);
            MAX_COUNT
        })
}

/// An amount of dollars; `None` for null and for what is none.
pub(super) fn dollars(value: Field<'_>, flags: &mut Inconsistencies) -> Option<Usd> {
    amount(value, 12, flags)
}

/// An amount in units of 10^-10 dollars.
pub(super) fn ticks(value: Field<'_>, flags: &mut Inconsistencies) -> Option<Usd> {
    amount(value, 2, flags)
}

fn amount(value: Field<'_>, digits: i64, flags: &mut Inconsistencies) -> Option<Usd> {
    if value == "null" {
        return None;
    }
    let pico = decimal(value.trim_matches('"'), digits);
    let amount = pico
        .and_then(Usd::from_pico_wide)
        .filter(|amount| *amount >= Usd::ZERO);
    if amount.is_none() {
        flags.add(Inconsistencies::NOT_A_COUNT);
    }
    amount
}

/// The catalogue's word for a service tier.
pub(super) fn tier_word(value: Field<'_>, flags: &mut Inconsistencies) -> Option<&'static str> {
    if value == "null" {
        return None;
    }
    let word = tier(value.trim_matches('"'));
    if word.is_none() {
        flags.add(Inconsistencies::UNKNOWN_TIER);
    }
    word
}

/// A decimal number as a whole number of 10^-`digits`, rounded half to even; `None` for what is
/// no number or does not fit.
fn decimal(text: &str, digits: i64) -> Option<i128> {
    if !is_number(text) {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or((mantissa.trim_start_matches('-'), ""));
    let mut value = 0_i128;
    let mut seen = 0;
    // Digits that are left out: of the whole part they still count as places.
    let mut shift = digits;
    for (at, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let in_fraction = at >= whole.len();
        if seen < SIGNIFICANT {
            value = value * 10 + i128::from(digit - b'0');
            seen += u32::from(value != 0);
            shift -= i64::from(in_fraction);
        } else {
            shift += i64::from(!in_fraction);
        }
    }
    if value == 0 {
        return Some(0);
    }
    let value = if negative { -value } else { value };
    let shift = shift.saturating_add(exponent.parse::<i64>().unwrap_or(
        if exponent.starts_with('-') {
            i64::MIN / 2
        } else {
            i64::MAX / 2
        },
    ));
    let power = |places: u64| 10_i128.checked_pow(u32::try_from(places).ok()?);
    if shift >= 0 {
        value.checked_mul(power(shift.unsigned_abs())?)
    } else {
        power(shift.unsigned_abs()).map_or(Some(0), |unit| div_half_even(value, unit))
    }
}

/// Is it `-?digits[.digits][e±digits]`?
fn is_number(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(whole)
        && digits(fraction)
        && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

struct Members<F>(F);

impl<'de, F: FnMut(&str, Field<'de>)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            (self.0)(&name, value.get());
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(Field<'de>)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element::<&RawValue>()? {
            (self.0)(value.get());
        }
        Ok(())
    }
}

/// Borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_exactly_whatever_its_notation() {
        for (text, digits, value) in [
            ("0.00123456", 12, Some(1_234_560_000)),
            ("1.2e-05", 12, Some(12_000_000)),
            ("1E+2", 0, Some(100)),
            ("-3", 0, Some(-3)),
            ("0.0000000000005", 12, Some(0)),
            ("0.0000000000015", 12, Some(2)),
            ("0e999999999999999999999", 0, Some(0)),
            ("1e-999999999999999999999", 12, Some(0)),
            ("1e400", 0, None),
            (
                "123456789012345678901234567890123456",
                0,
                Some(123_456_789_012_345_678_901_234_567_890_000_000),
            ),
            ("", 0, None),
            ("1.", 0, None),
            ("NaN", 0, None),
            ("１", 0, None),
        ] {
            assert_eq!(decimal(text, digits), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_count_is_clamped_and_flagged() {
        for (text, value, flag) in [
            ("12", 12, None),
            ("null", 0, None),
            ("-5", 0, Some(Inconsistencies::NEGATIVE)),
            ("-1e400", 0, Some(Inconsistencies::HUGE)),
            ("99999999999999", MAX_COUNT, Some(Inconsistencies::HUGE)),
            ("1e400", MAX_COUNT, Some(Inconsistencies::HUGE)),
            ("12.0", 12, Some(Inconsistencies::NOT_A_COUNT)),
            ("\"12\"", 12, Some(Inconsistencies::NOT_A_COUNT)),
            ("\"many\"", 0, Some(Inconsistencies::NOT_A_COUNT)),
            ("true", 0, Some(Inconsistencies::NOT_A_COUNT)),
            ("{}", 0, Some(Inconsistencies::NOT_A_COUNT)),
            ("[1]", 0, Some(Inconsistencies::NOT_A_COUNT)),
        ] {
            let mut flags = Inconsistencies::default();
            assert_eq!(count(text, &mut flags), value, "{text}");
            assert!(
                flag.map_or(flags.is_empty(), |flag| flags.has(flag)),
                "{text}: {flags:?}"
            );
        }
    }

    #[test]
    fn of_a_cut_object_the_complete_members_are_seen() {
        let mut seen = Vec::new();
        let complete = members(r#"{"a":1,"\u0062":2,"c":{"d"#, |name, value| {
            seen.push(format!("{name}={value}"));
        });
        assert!(!complete);
        assert_eq!(seen, ["a=1", "b=2"]);
    }
}
