//! What the functions give (AWS IoT developer guide, "AWS IoT SQL reference", "Functions").

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use serde_json::{Map, Value};

use super::convert::{self, text};
use super::evaluate::{Evaluated, Evaluation, EvaluationError, truth};
use super::function::Function;
use super::moment;
use super::number::Number;
use super::pattern;
use super::syntax::{Call, Expression};

/// Arguments that were evaluated.
struct Arguments<'a>(Vec<Option<Cow<'a, Value>>>);

impl Arguments<'_> {
    fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index)?.as_deref()
    }

    /// An argument as text, by the standard conversions.
    fn text(&self, index: usize) -> Option<Cow<'_, str>> {
        text(self.get(index)?)
    }

    fn number(&self, index: usize) -> Option<Number> {
        Number::of(self.get(index)?)
    }

    /// An argument as a whole number, rounded down.
    fn int(&self, index: usize) -> Option<i64> {
        self.number(index)?.to_i64()
    }

    fn double(&self, index: usize) -> Option<f64> {
        self.number(index)?.to_double()
    }
}

/// What a call gives. A wrong number of arguments, and arguments of the wrong type, give Undefined.
pub(super) fn call<'s>(
    of: &'s Evaluation<'_>,
    call: &'s Call,
    scope: Option<&'s Value>,
) -> Evaluated<'s> {
    let function = call.function;
    let (fewest, most) = function.arguments();
    if !(fewest..=most).contains(&call.arguments.len()) {
        return Ok(None);
    }
    match (function, call.arguments.first()) {
        (Function::Encode, Some(Expression::Payload)) => {
            return Ok(Some(Cow::Owned(of.payload_in_base64().into())));
        }
        (Function::GetOrDefault, Some(first)) => {
            return match of.value(first, scope) {
                Ok(Some(value)) if !value.is_null() => Ok(Some(value)),
                _ => match call.arguments.get(1) {
                    Some(second) => of.value(second, scope),
                    None => Ok(None),
                },
            };
        }
        _ => {}
    }
    let mut values = Vec::with_capacity(call.arguments.len());
    for argument in &call.arguments {
        values.push(of.value(argument, scope)?);
    }
    if function.is_external() || function == Function::Decode && values.len() > 2 {
        let name = if function == Function::Decode {
            "decode"
        } else {
            function.name()
        };
        let values: Vec<Option<Value>> = values
            .into_iter()
            .map(|value| value.map(Cow::into_owned))
            .collect();
        return match of.surroundings.external(name, &values) {
            Ok(value) => Ok(Some(Cow::Owned(value))),
            Err(reason) => Err(EvaluationError::External {
                function: name.to_owned(),
                reason,
            }),
        };
    }
    let arguments = Arguments(values);
    if let Some(value) = of_message(of, function, &arguments) {
        return Ok(value);
    }
    if let Some(calculated) = calculate(function, &arguments) {
        return Ok(of.number(calculated));
    }
    Ok(of_values(call, arguments))
}

/// Functions of the message and its surroundings; none for others.
#[allow(clippy::option_option, reason = "the inner one is Undefined")]
fn of_message<'s>(
    of: &Evaluation<'_>,
    function: Function,
    arguments: &Arguments<'_>,
) -> Option<Option<Cow<'s, Value>>> {
    let message = of.message;
    let owned = |text: Option<&str>| text.map(|text| Value::String(text.to_owned()));
    let value = match function {
        Function::AccountId => owned(Some(of.surroundings.account_id())),
        Function::ClientId => owned(Some(message.client_id.unwrap_or("n/a"))),
        Function::Principal => owned(message.principal),
        Function::SourceIp => owned(message.source_ip),
        Function::TraceId => owned(message.trace_id),
        Function::NewUuid => Some(of.surroundings.new_uuid().into()),
        Function::Rand => Some(of.surroundings.random().into()),
        Function::SqlVersion => owned(Some(of.rule.version().as_str())),
        Function::Timestamp => Some(of.surroundings.now_ms().into()),
        Function::Topic if arguments.0.is_empty() => owned(Some(message.topic)),
        Function::Topic => arguments
            .int(0)
            .and_then(|level| usize::try_from(level).ok()?.checked_sub(1))
            .and_then(|level| owned(message.topic.split('/').nth(level))),
        Function::GetMqttProperty => {
            let properties = &message.properties;
            match arguments.get(0).and_then(Value::as_str) {
                Some("content_type") => owned(properties.content_type),
                Some("response_topic") => owned(properties.response_topic),
                Some("correlation_data") => properties
                    .correlation_data
                    .map(|data| STANDARD.encode(data).into()),
                Some("format_indicator") => owned(Some(if properties.is_utf8 {
                    "UTF8_DATA"
                } else {
                    "UNSPECIFIED_BYTES"
                })),
                _ => None,
            }
        }
        Function::GetUserProperties => user_properties(of, arguments),
        _ => return None,
    };
    Some(value.map(Cow::Owned))
}

/// Every user property as an array of objects, or the values of one name.
fn user_properties(of: &Evaluation<'_>, arguments: &Arguments<'_>) -> Option<Value> {
    let properties = of.message.properties.user;
    if properties.is_empty() {
        return None;
    }
    let one = |(name, value): &(String, String)| {
        Value::Object(Map::from_iter([(name.clone(), value.clone().into())]))
    };
    if arguments.0.is_empty() {
        return Some(properties.iter().map(one).collect());
    }
    let wanted = arguments.text(0)?;
    let values: Vec<Value> = properties
        .iter()
        .filter(|(name, _)| *name == wanted)
        .map(|(_, value)| value.clone().into())
        .collect();
    (!values.is_empty()).then_some(Value::Array(values))
}

/// Functions whose result is a number calculated from numbers; none for others.
#[allow(clippy::option_option, reason = "the inner one is Undefined")]
fn calculate(function: Function, arguments: &Arguments<'_>) -> Option<Option<Number>> {
    let double = |apply: fn(f64) -> f64| Number::double(apply(arguments.double(0)?));
    let doubles = |apply: fn(f64, f64) -> f64| {
        Number::double(apply(arguments.double(0)?, arguments.double(1)?))
    };
    let bits = |apply: fn(i64, i64) -> i64| {
        let value = apply(arguments.int(0)?, arguments.int(1)?);
        Some(Number::int(value.into()))
    };
    let number = |apply: fn(&Number) -> Number| Some(apply(&arguments.number(0)?));
    Some(match function {
        Function::Abs => number(Number::absolute),
        Function::Acos => double(f64::acos),
        Function::Asin => double(f64::asin),
        Function::Atan => double(f64::atan),
        Function::Atan2 => doubles(f64::atan2),
        Function::BitAnd => bits(|a, b| a & b),
        Function::BitOr => bits(|a, b| a | b),
        Function::BitXor => bits(|a, b| a ^ b),
        Function::BitNot => arguments.int(0).map(|value| Number::int((!value).into())),
        Function::Ceil => number(Number::ceil),
        Function::Cos => double(f64::cos),
        Function::Cosh => double(f64::cosh),
        Function::Exp => double(f64::exp),
        Function::Floor => number(Number::floor),
        Function::Ln => double(f64::ln),
        Function::Log => double(f64::log10),
        Function::Mod | Function::Remainder => arguments
            .number(0)
            .zip(arguments.number(1))
            .and_then(|(a, b)| a.modulo(&b)),
        Function::Power => doubles(f64::powf),
        Function::Round => number(Number::round),
        Function::Sign => arguments
            .number(0)
            .map(|value| Number::int(value.sign().into())),
        Function::Sin => double(f64::sin),
        Function::Sinh => double(f64::sinh),
        Function::Sqrt => double(f64::sqrt),
        Function::Tan => double(f64::tan),
        Function::Tanh => double(f64::tanh),
        Function::Trunc => match (arguments.number(0), arguments.get(1)) {
            (Some(value), Some(Value::Number(_))) => arguments
                .int(1)
                .map(|places| value.truncated(places.clamp(0, 34))),
            _ => None,
        },
        Function::Length => arguments
            .text(0)
            .map(|text| Number::int((text.chars().count() as u64).into())),
        Function::NumBytes => arguments
            .text(0)
            .map(|text| Number::int((text.len() as u64).into())),
        Function::TimeToEpoch => arguments
            .text(0)
            .zip(arguments.text(1))
            .and_then(|(text, pattern)| moment::parse(&text, &pattern))
            .map(|milliseconds| Number::int(milliseconds.into())),
        _ => return None,
    })
}

/// Functions of texts, arrays and objects.
fn of_values<'s>(call: &'s Call, mut arguments: Arguments<'s>) -> Option<Cow<'s, Value>> {
    let texts =
        |test: fn(&str, &str) -> bool| truth(Some(test(&arguments.text(0)?, &arguments.text(1)?)));
    let string = |text: String| Some(Cow::Owned(Value::String(text)));
    let changed = |change: fn(&str) -> String| string(change(&arguments.text(0)?));
    let digest = |digest: MessageDigest| {
        let hash = openssl::hash::hash(digest, arguments.text(0)?.as_bytes()).ok()?;
        string(hex::encode(hash))
    };
    match call.function {
        Function::Chr => {
            let letter = u8::try_from(arguments.int(0)?).ok()?;
            letter
                .is_ascii()
                .then(|| Cow::Owned(Value::String(char::from(letter).to_string())))
        }
        Function::Concat => concat(arguments),
        Function::Decode => {
            let Some(Value::String(encoded)) = arguments.get(0) else {
                return None;
            };
            let Ok(decoded) = STANDARD.decode(encoded) else {
                return Some(Cow::Owned(Value::Null));
            };
            if let Ok(mut value) = serde_json::from_slice::<Value>(&decoded) {
                convert::whole_numbers_are_ints(&mut value);
                return Some(Cow::Owned(value));
            }
            let text = String::from_utf8(decoded).map_or(Value::Null, Value::String);
            Some(Cow::Owned(text))
        }
        Function::Encode => string(STANDARD.encode(arguments.text(0)?.as_bytes())),
        Function::EndsWith => texts(|text, end| text.ends_with(end)),
        Function::StartsWith => texts(|text, start| text.starts_with(start)),
        Function::Get => get(&mut arguments),
        Function::Md5 => digest(MessageDigest::md5()),
        Function::Sha1 => digest(MessageDigest::sha1()),
        Function::Sha224 => digest(MessageDigest::sha224()),
        Function::Sha256 => digest(MessageDigest::sha256()),
        Function::Sha384 => digest(MessageDigest::sha384()),
        Function::Sha512 => digest(MessageDigest::sha512()),
        Function::IndexOf => {
            let (text, part) = (arguments.text(0)?, arguments.text(1)?);
            let index = match text.find(&*part) {
                Some(offset) => text[..offset].chars().count() as i64,
                None => -1,
            };
            Some(Cow::Owned(index.into()))
        }
        Function::IsNull => truth(Some(arguments.get(0).is_some_and(Value::is_null))),
        Function::IsUndefined => truth(Some(arguments.get(0).is_none())),
        Function::Lower => changed(str::to_lowercase),
        Function::Upper => changed(str::to_uppercase),
        Function::Trim => changed(|text| text.trim().to_owned()),
        Function::Ltrim => changed(|text| text.trim_start_matches(BLANKS).to_owned()),
        Function::Rtrim => changed(|text| text.trim_end_matches(BLANKS).to_owned()),
        Function::Lpad | Function::Rpad => {
            let (text, width) = (arguments.text(0)?, arguments.int(1)?);
            let blanks = " ".repeat(usize::try_from(width.clamp(0, 1000)).ok()?);
            string(match call.function {
                Function::Lpad => format!("{blanks}{text}"),
                _ => format!("{text}{blanks}"),
            })
        }
        Function::Nanvl => match arguments.get(0) {
            None | Some(Value::Null) => arguments.0.pop().flatten(),
            Some(_) => arguments.0.swap_remove(0),
        },
        Function::ParseTime => {
            let zone = match arguments.0.len() {
                3 => arguments.text(2)?,
                _ => Cow::Borrowed("UTC"),
            };
            string(moment::format(
                &arguments.text(0)?,
                arguments.int(1)?,
                &zone,
            )?)
        }
        Function::RegexpMatches => {
            let found = pattern::of(call, &arguments.text(1)?)?.is_match(&arguments.text(0)?);
            truth(Some(found))
        }
        Function::RegexpReplace => {
            let pattern = pattern::of(call, &arguments.text(1)?)?;
            let (text, replacement) = (arguments.text(0)?, arguments.text(2)?);
            string(pattern.replace_all(&text, &*replacement).into_owned())
        }
        Function::RegexpSubstr => {
            let pattern = pattern::of(call, &arguments.text(1)?)?;
            let text = arguments.text(0)?;
            string(pattern.find(&text)?.as_str().to_owned())
        }
        Function::Replace => {
            let (text, old, new) = (arguments.text(0)?, arguments.text(1)?, arguments.text(2)?);
            // Every letter replaced by many is bounded by what a message may hold.
            let most = text.len() + text.matches(&*old).count() * new.len();
            (most <= LONGEST).then(|| Cow::Owned(text.replace(&*old, &new).into()))
        }
        Function::Substring => {
            let text = arguments.text(0)?;
            let from = bounded(arguments.number(1)?);
            let to = match arguments.0.len() {
                3 => bounded(arguments.number(2)?),
                _ => usize::MAX,
            };
            string(text.chars().take(to).skip(from).collect())
        }
        Function::Transform => {
            if arguments.get(0)?.as_str() != Some("enrichArray") {
                return None;
            }
            let (added, elements) = (
                arguments.get(1)?.as_object()?,
                arguments.get(2)?.as_array()?,
            );
            let enriched: Option<Vec<Value>> = elements
                .iter()
                .map(|element| {
                    let mut element = element.as_object()?.clone();
                    for (name, value) in added {
                        element.insert(name.clone(), value.clone());
                    }
                    Some(Value::Object(element))
                })
                .collect();
            let enriched = Value::Array(enriched?);
            (enriched.to_string().len() <= LONGEST).then_some(Cow::Owned(enriched))
        }
        // MD2 is in no library here; every other function was served before.
        _ => None,
    }
}

/// An index: what is less than zero is zero, and what is too large is out of every string.
fn bounded(number: Number) -> usize {
    match number.to_i64() {
        Some(index) => usize::try_from(index).unwrap_or(0),
        None if number.sign() < 0 => 0,
        None => usize::MAX,
    }
}

/// All arguments as one array if any is one, else as one text if any is one.
fn concat(arguments: Arguments<'_>) -> Option<Cow<'_, Value>> {
    let mut values = arguments.0;
    if values.len() <= 1 {
        return values.pop().flatten();
    }
    let values: Vec<Cow<'_, Value>> = values.into_iter().collect::<Option<_>>()?;
    if values.iter().any(|value| value.is_array()) {
        let mut array = Vec::new();
        for value in values {
            match value.into_owned() {
                Value::Array(elements) => array.extend(elements),
                one => array.push(one),
            }
        }
        return Some(Cow::Owned(Value::Array(array)));
    }
    if !values.iter().any(|value| value.is_string()) {
        return None;
    }
    let texts: Option<Vec<_>> = values.iter().map(|value| text(value)).collect();
    Some(Cow::Owned(Value::String(texts?.concat())))
}

/// An element of an array, a letter of a string, or a member of an object.
fn get<'s>(arguments: &mut Arguments<'s>) -> Option<Cow<'s, Value>> {
    let key = arguments.get(1)?.clone();
    let index = || {
        let index = Number::of(&key)?.round().to_i64()?;
        usize::try_from(index).ok()
    };
    match arguments.0.swap_remove(0)? {
        Cow::Borrowed(Value::Array(elements)) => elements.get(index()?).map(Cow::Borrowed),
        Cow::Owned(Value::Array(mut elements)) => {
            let index = index()?;
            (index < elements.len()).then(|| Cow::Owned(elements.swap_remove(index)))
        }
        Cow::Borrowed(Value::Object(members)) => members.get(key.as_str()?).map(Cow::Borrowed),
        Cow::Owned(Value::Object(mut members)) => members.remove(key.as_str()?).map(Cow::Owned),
        other => match &*other {
            Value::String(text) => {
                let letter = text.chars().nth(index()?)?;
                Some(Cow::Owned(Value::String(letter.to_string())))
            }
            _ => None,
        },
    }
}

/// "Tabs and spaces".
const BLANKS: [char; 2] = [' ', '\t'];

/// A result of more bytes than a message may have cannot be delivered.
const LONGEST: usize = 131_072;
