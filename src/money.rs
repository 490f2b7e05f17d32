//! Money: whole pico-dollars (10⁻¹² USD) from decimal strings, and back.
//!
//! Why pico-dollars: a price is a decimal string per 1,000,000 tokens with at most six fractional
//! digits, so one token costs a whole number of pico-dollars and nothing is ever rounded before a
//! division that a price itself demands. Binary floats appear only where Prometheus wants them.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Pico-dollars in one dollar.
pub const PICO_PER_USD: i64 = 1_000_000_000_000;
/// Fractional digits of a dollar amount that are kept: pico.
const USD_DIGITS: u32 = 12;
/// Bytes of the longest amount: a sign, seven digits, the point and the fraction.
const LONGEST: usize = 9 + USD_DIGITS as usize;
/// Fractional digits that a price per 1,000,000 units may have.
const RATE_DIGITS: u32 = 6;

/// An amount in whole pico-dollars. The range is about ±9.2 million dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i64);

/// A sum of many amounts, in whole pico-dollars: no number of them overflows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Total(i128);

/// A price of one unit in whole pico-dollars: `"0.27"` USD per 1M tokens is 270,000 a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i64);

/// Why a text is not an amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not `digits[.digits]`.
    #[error("`{0}` is not a decimal number such as \"0.25\" (no sign, no exponent)")]
    Syntax(String),
    /// More fractional digits than are kept; rounding silently would lose money.
    #[error("`{text}` has more than {digits} digits after the point")]
    TooFine {
        /// What was written.
        text: String,
        /// How many digits are kept.
        digits: u32,
    },
    /// Does not fit.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads `digits[.digits]` as a whole number of 10^-`digits`.
fn parse_scaled(text: &str, digits: u32) -> Result<i64, MoneyError> {
    let syntax = || MoneyError::Syntax(text.to_owned());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || text.ends_with('.') {
        return Err(syntax());
    }
    let fraction = fraction.trim_end_matches('0');
    let used = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    let Some(missing) = digits.checked_sub(used) else {
        return Err(MoneyError::TooFine {
            text: text.to_owned(),
            digits,
        });
    };
    let too_large = || MoneyError::TooLarge(text.to_owned());
    let part = |s: &str| {
        if s.is_empty() {
            Ok(0)
        } else {
            s.parse::<i64>()
        }
    };
    let whole = part(whole).map_err(|_| too_large())?;
    let fraction = part(fraction).map_err(|_| too_large())?;
    let scale = 10_i64.checked_pow(digits).ok_or_else(too_large)?;
    let pad = 10_i64.checked_pow(missing).ok_or_else(too_large)?;
    whole
        .checked_mul(scale)
        .and_then(|w| w.checked_add(fraction.checked_mul(pad)?))
        .ok_or_else(too_large)
}

/// Writes a whole number of 10^-`digits` as a plain decimal without trailing zeros.
fn write_scaled(to: &mut impl fmt::Write, value: i128, digits: u32) -> fmt::Result {
    let scale = 10_u64.pow(digits);
    let magnitude = value.unsigned_abs();
    if value < 0 {
        to.write_str("-")?;
    }
    let (mut whole, mut fraction) = (itoa::Buffer::new(), itoa::Buffer::new());
    // most amounts are small, and small numbers are divided in a fraction of the time
    let (whole, rest) = match u64::try_from(magnitude) {
        Ok(small) => (whole.format(small / scale), small % scale),
        Err(_) => {
            let scale = u128::from(scale);
            let rest = u64::try_from(magnitude % scale).unwrap_or_default();
            (whole.format(magnitude / scale), rest)
        }
    };
    to.write_str(whole)?;
    if rest == 0 {
        return Ok(());
    }
    // a one before the fraction keeps the zeros that it begins with
    let shown = fraction.format(scale + rest).trim_end_matches('0');
    to.write_str(".")?;
    to.write_str(shown.get(1..).unwrap_or_default())
}

/// The quotient, rounded half to even; `None` for a divisor that is not positive.
///
/// Half to even because it has no drift: over many requests the roundings cancel out.
#[must_use]
pub fn div_half_even(dividend: i128, divisor: i128) -> Option<i128> {
    if divisor <= 0 {
        return None;
    }
    let (quotient, rest) = (dividend.div_euclid(divisor), dividend.rem_euclid(divisor));
    // Compared without doubling the rest, which might not fit.
    let up = match rest.cmp(&(divisor - rest)) {
        Ordering::Less => false,
        Ordering::Equal => quotient % 2 != 0,
        Ordering::Greater => true,
    };
    Some(quotient + i128::from(up))
}

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that can be held.
    pub const MAX: Self = Self(i64::MAX);

    /// From whole pico-dollars.
    #[must_use]
    pub const fn from_pico(pico: i64) -> Self {
        Self(pico)
    }

    /// Whole pico-dollars.
    #[must_use]
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// From an exact intermediate; `None` if it does not fit.
    #[must_use]
    pub fn from_pico_wide(pico: i128) -> Option<Self> {
        i64::try_from(pico).ok().map(Self)
    }

    /// The largest amount that is not more than a decimal number, which may have an exponent as in
    /// JSON: `0.05`, `5e-2`. What is too large to be held is the largest amount; `None`: it is no
    /// such number, or below nothing.
    #[must_use]
    pub fn at_most(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
            return None;
        }
        // so many of the digits stand before the point once it is pico-dollars
        let point = i64::try_from(whole.len()).ok()?;
        let kept = point + i64::from(exponent) + i64::from(USD_DIGITS);
        let mut all = whole.bytes().chain(fraction.bytes());
        let mut pico = 0_i64;
        for _ in 0..kept {
            let digit = all.next();
            if pico == 0 && digit.is_none() {
                break;
            }
            let more = pico.checked_mul(10);
            let digit = i64::from(digit.map_or(0, |digit| digit - b'0'));
            match more.and_then(|more| more.checked_add(digit)) {
                Some(more) => pico = more,
                None => return Some(Self::MAX),
            }
        }
        Some(Self(pico))
    }

    /// As it is displayed, without the way through a formatter.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::with_capacity(LONGEST);
        // writing to a text can't fail
        let _ = write_scaled(&mut text, self.0.into(), USD_DIGITS);
        text
    }

    /// The sum, or `None` if it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, held at the largest amount if it does not fit.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, held at the ends of the range if it does not fit.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Total {
    /// From whole pico-dollars.
    #[must_use]
    pub const fn from_pico(pico: i128) -> Self {
        Self(pico)
    }

    /// Whole pico-dollars.
    #[must_use]
    pub const fn pico(self) -> i128 {
        self.0
    }
}

impl Rate {
    /// A declared zero.
    pub const ZERO: Self = Self(0);

    /// From whole pico-dollars a unit.
    #[must_use]
    pub const fn from_pico(pico: i64) -> Self {
        Self(pico)
    }

    /// Whole pico-dollars a unit.
    #[must_use]
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// From the price of one unit in dollars, as JSON writes numbers (`2.5e-07`), and how many
    /// units the rate is for.
    ///
    /// # Errors
    /// No such number, below nothing, finer than six digits of the rate, or too large.
    pub fn from_unit_price(text: &str, units: u32) -> Result<Self, MoneyError> {
        let syntax = || MoneyError::Syntax(text.to_owned());
        let too_large = || MoneyError::TooLarge(text.to_owned());
        let (number, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((number, exponent)) => (number, exponent.parse::<i32>().map_err(|_| syntax())?),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = [whole, fraction].concat();
        if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax());
        }
        let mantissa: i128 = digits.parse().map_err(|_| too_large())?;
        let value = mantissa.checked_mul(units.into()).ok_or_else(too_large)?;
        let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let shift = (i64::from(exponent) + i64::from(RATE_DIGITS)).saturating_sub(places);
        let scale = u32::try_from(shift.unsigned_abs())
            .ok()
            .and_then(|shift| 10_i128.checked_pow(shift));
        let scaled = match scale {
            _ if value == 0 => Some(0),
            Some(scale) if shift >= 0 => value.checked_mul(scale),
            Some(scale) if value % scale == 0 => Some(value / scale),
            None if shift >= 0 => None,
            Some(_) | None => {
                return Err(MoneyError::TooFine {
                    text: text.to_owned(),
                    digits: RATE_DIGITS,
                });
            }
        };
        let pico = scaled.and_then(|pico| i64::try_from(pico).ok());
        pico.map(Self).ok_or_else(too_large)
    }

    /// The exact cost of `units`, in pico-dollars.
    #[must_use]
    pub fn times(self, units: u64) -> i128 {
        i128::from(self.0) * i128::from(units)
    }
}

impl FromStr for Usd {
    type Err = MoneyError;

    /// Reads dollars: `"50"`, `"0.000001"`; at most 12 fractional digits.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse_scaled(text, USD_DIGITS).map(Self)
    }
}

impl FromStr for Rate {
    type Err = MoneyError;

    /// Reads dollars per 1,000,000 units: `"0.27"`; at most 6 fractional digits.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse_scaled(text, RATE_DIGITS).map(Self)
    }
}

impl fmt::Display for Usd {
    /// The exact amount in dollars, without exponent or trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0.into(), USD_DIGITS)
    }
}

impl fmt::Display for Total {
    /// The exact sum in dollars, as a single amount is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, USD_DIGITS)
    }
}

impl fmt::Display for Rate {
    /// Dollars per 1,000,000 units, as in the price list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0.into(), RATE_DIGITS)
    }
}

/// Serialises as the decimal string: a JSON number would be read as a binary float.
impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Serialises as the decimal string.
impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Serialises as the decimal string per 1,000,000 units.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_price_of_one_unit_is_read_without_losing_a_digit() {
        for (text, units, rate) in [
            ("2.5e-06", 1_000_000, "2.5"),
            ("0.0000025", 1_000_000, "2.5"),
            ("1.25E-7", 1_000_000, "0.125"),
            ("0.000111", 3_600, "0.3996"),
            ("4e-2", 1, "0.04"),
            ("25", 1_000, "25000"),
            ("0.0", 1_000_000, "0"),
            ("0e999999999", 1, "0"),
        ] {
            let read = Rate::from_unit_price(text, units).unwrap();
            assert_eq!(read.to_string(), rate, "{text}");
        }
        let failed = |text| Rate::from_unit_price(text, 1_000_000).unwrap_err();
        for text in [
            "",
            "-1",
            "1,5",
            "e5",
            "1e",
            "1e1.5",
            "1e9999999999",
            "NaN",
            ".5",
        ] {
            assert!(matches!(failed(text), MoneyError::Syntax(_)), "{text}");
        }
        for text in ["2.0000000000000002e-07", "1e-13", "1e-999999"] {
            assert!(matches!(failed(text), MoneyError::TooFine { .. }), "{text}");
        }
        for text in [
            "1e20",
            "1e999999",
            "99999999999999999999999999999999999999999",
        ] {
            assert!(matches!(failed(text), MoneyError::TooLarge(_)), "{text}");
        }
    }

    #[test]
    fn a_price_per_million_is_whole_pico_dollars_a_token() {
        for (text, pico) in [
            ("0.27", 270_000),
            ("0.0125", 12_500),
            ("3", 3_000_000),
            ("0.000001", 1),
            ("0", 0),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().pico(), pico, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        for text in [
            "", ".5", "5.", "-1", "+1", "1e3", "1,5", " 1", "1.2.3", "0x1", "NaN", "∞", "١",
        ] {
            assert!(
                matches!(text.parse::<Usd>(), Err(MoneyError::Syntax(_))),
                "{text:?}"
            );
        }
        assert!(matches!(
            "0.0000001".parse::<Rate>(),
            Err(MoneyError::TooFine { .. })
        ));
        assert!(matches!(
            "99999999999".parse::<Usd>(),
            Err(MoneyError::TooLarge(_))
        ));
        assert!(matches!(
            "99999999999999999999".parse::<Usd>(),
            Err(MoneyError::TooLarge(_))
        ));
    }

    #[test]
    fn an_amount_is_written_exactly_without_exponent() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (1_500_000_000_000, "1.5"),
            (-20, "-0.00000000002"),
            (i64::MIN, "-9223372.036854775808"),
        ] {
            let amount = Usd::from_pico(pico);
            assert_eq!((&*amount.text(), &*amount.to_string()), (text, text));
        }
        let beyond = Total::from_pico(i128::from(i64::MAX) * 1_000);
        assert_eq!(beyond.to_string(), "9223372036.854775807");
    }

    #[test]
    fn what_may_be_spent_at_most_is_read_from_any_decimal_number_and_never_rounds_up() {
        for (text, amount) in [
            ("0.05", "0.05"),
            ("5e-2", "0.05"),
            ("0.5E-1", "0.05"),
            ("12.5e+1", "125"),
            ("007", "7"),
            ("0.30000000000000004", "0.3"),
            ("1.9999999999999", "1.999999999999"),
            ("1e-13", "0"),
            ("0e2000000000", "0"),
            ("0", "0"),
        ] {
            assert_eq!(
                Usd::at_most(text).map(|usd| usd.to_string()).as_deref(),
                Some(amount)
            );
        }
        for large in ["1e2000000000", "99999999999", "9223372.036854775808"] {
            assert_eq!(Usd::at_most(large), Some(Usd::MAX), "{large}");
        }
        for wrong in [
            "",
            "-1",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e5.0",
            "1,5",
            "$1",
            "1e99999999999",
            "NaN",
        ] {
            assert_eq!(Usd::at_most(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_half_is_rounded_to_the_even_neighbour() {
        for (dividend, divisor, quotient) in [
            (5, 10, 0),
            (15, 10, 2),
            (25, 10, 2),
            (26, 10, 3),
            (-5, 10, 0),
            (-15, 10, -2),
            (7, 1, 7),
        ] {
            assert_eq!(
                div_half_even(dividend, divisor),
                Some(quotient),
                "{dividend}/{divisor}"
            );
        }
        assert_eq!(div_half_even(1, 0), None);
        assert_eq!(div_half_even(i128::MAX, i128::MAX), Some(1));
    }

    proptest! {
        #[test]
        fn writing_and_reading_an_amount_is_the_identity(pico in 0_i64..) {
            let amount = Usd::from_pico(pico);
            prop_assert_eq!(amount.to_string().parse::<Usd>().unwrap(), amount);
            prop_assert_eq!(Usd::at_most(&amount.to_string()), Some(amount));
        }

        #[test]
        fn reading_any_text_never_panics(text in "\\PC*") {
            let _ = (text.parse::<Usd>(), text.parse::<Rate>(), Usd::at_most(&text));
        }
    }
}
