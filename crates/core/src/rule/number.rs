//! Numbers as rule SQL calculates with them: 34 digits, whole numbers kept apart from decimals.

use std::str::FromStr;

use bigdecimal::num_bigint::Sign;
use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive, Zero};
use serde_json::{Number as Json, Value};

use super::version::SqlVersion;

/// A number, and whether it is an Int.
#[derive(Clone, Debug)]
pub(super) struct Number {
    value: BigDecimal,
    is_int: bool,
}

impl Number {
    /// The number a value is, or that a string writes; no other value is one.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self {
                is_int: !number.is_f64(),
                value: number
                    .as_i64()
                    .map(BigDecimal::from)
                    .or_else(|| number.as_u64().map(BigDecimal::from))
                    .or_else(|| BigDecimal::from_str(&number.to_string()).ok())?,
            }),
            Value::String(text) => Self::in_text(text),
            _ => None,
        }
    }

    /// `^-?\d+(\.\d+)?((?i)E-?\d+)?$`, with a magnitude between 1E-999 and 1E999.
    fn in_text(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let digits = |text: &str| {
            !text.is_empty() && text.len() <= 400 && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        if !digits(whole) || fraction.is_some_and(|fraction| !digits(fraction)) {
            return None;
        }
        if let Some(exponent) = exponent {
            let exponent = exponent.strip_prefix('-').unwrap_or(exponent);
            if !digits(exponent) || exponent.parse::<u32>().ok()? > GREATEST_EXPONENT {
                return None;
            }
        }
        Some(Self {
            value: BigDecimal::from_str(text).ok()?,
            is_int: fraction.is_none() && exponent.is_none(),
        })
    }

    pub(super) fn decimal(value: BigDecimal) -> Self {
        Self {
            value,
            is_int: false,
        }
    }

    pub(super) fn int(value: BigDecimal) -> Self {
        Self {
            value,
            is_int: true,
        }
    }

    /// A result of double precision; none for what is no number.
    pub(super) fn double(value: f64) -> Option<Self> {
        let json = Json::from_f64(value)?;
        Some(Self::decimal(BigDecimal::from_str(&json.to_string()).ok()?))
    }

    pub(super) fn to_double(&self) -> Option<f64> {
        self.value.to_f64()
    }

    /// The next smaller whole number.
    pub(super) fn floor(&self) -> Self {
        self.rounded(RoundingMode::Floor)
    }

    /// The next greater whole number.
    pub(super) fn ceil(&self) -> Self {
        self.rounded(RoundingMode::Ceiling)
    }

    /// The nearest whole number; of two the one farther from zero.
    pub(super) fn round(&self) -> Self {
        self.rounded(RoundingMode::HalfUp)
    }

    fn rounded(&self, mode: RoundingMode) -> Self {
        Self::int(self.value.with_scale_round(0, mode))
    }

    /// Without what is behind so many decimal places, and without trailing zeroes.
    pub(super) fn truncated(&self, places: i64) -> Self {
        let value = self
            .value
            .with_scale_round(places, RoundingMode::Down)
            .normalized();
        Self {
            is_int: value.is_integer(),
            value,
        }
    }

    /// A whole number of 64 bits, rounded down.
    pub(super) fn to_i64(&self) -> Option<i64> {
        self.floor().value.to_i64()
    }

    pub(super) fn is_zero(&self) -> bool {
        self.value.is_zero()
    }

    pub(super) fn absolute(&self) -> Self {
        Self {
            value: self.value.abs(),
            is_int: self.is_int,
        }
    }

    pub(super) fn negative(&self) -> Self {
        Self {
            value: -self.value.clone(),
            is_int: self.is_int,
        }
    }

    /// -1, 0 or 1.
    pub(super) fn sign(&self) -> i64 {
        match self.value.sign() {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        }
    }

    /// As the statement's version gives it out: since 2016 a decimal without a fraction is an Int.
    pub(super) fn to_value(&self, version: SqlVersion) -> Option<Value> {
        let whole = self.is_int || version >= SqlVersion::V2016_03_23 && self.value.is_integer();
        if whole {
            if let Some(int) = self.value.to_i64() {
                return Some(int.into());
            }
            if let Some(int) = self.value.to_u64() {
                return Some(int.into());
            }
        }
        Json::from_f64(self.value.to_f64()?).map(Value::Number)
    }

    fn with(
        &self,
        other: &Self,
        operation: fn(&BigDecimal, &BigDecimal) -> BigDecimal,
    ) -> Option<Self> {
        let value = operation(&self.value, &other.value).with_prec(DIGITS);
        let magnitude = value.digits() as i64 - value.as_bigint_and_exponent().1;
        (magnitude.abs() <= i64::from(GREATEST_EXPONENT)).then_some(Self {
            value,
            is_int: self.is_int && other.is_int,
        })
    }

    pub(super) fn plus(&self, other: &Self) -> Option<Self> {
        self.with(other, |a, b| a + b)
    }

    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        self.with(other, |a, b| a - b)
    }

    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        self.with(other, |a, b| a * b)
    }

    /// Two Ints give an Int, cut off towards zero; nothing is divided by zero.
    pub(super) fn divided_by(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let quotient = self.with(other, |a, b| a / b)?;
        if quotient.is_int {
            return Some(quotient.rounded(RoundingMode::Down));
        }
        Some(quotient)
    }

    /// The remainder has the sign of the first.
    pub(super) fn modulo(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        self.with(other, |a, b| a % b)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

/// AWS IoT developer guide, "Data types".
const DIGITS: u64 = 34;
const GREATEST_EXPONENT: u32 = 999;
