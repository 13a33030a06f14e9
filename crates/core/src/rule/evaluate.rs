//! A statement applied to a message: pure, and Undefined is a value of its own (`None`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::call;
use super::convert::{self, boolean, equal};
use super::number::Number;
use super::substitution::{Piece, Substitution};
use super::syntax::{Expression, Item, Nested, Operator, Selection};
use super::{RuleSql, SqlVersion};

/// A message as the rules engine sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// Topic, without the first three levels of basic ingest.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// MQTT client id; none for what did not come over MQTT.
    pub client_id: Option<&'a str>,
    /// Certificate id, or the user who published over HTTP.
    pub principal: Option<&'a str>,
    /// Address it came from.
    pub source_ip: Option<&'a str>,
    /// A UUID that the log entries about it carry.
    pub trace_id: Option<&'a str>,
    /// MQTT 5 properties.
    pub properties: Properties<'a>,
}

/// The MQTT 5 properties that statements can read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Properties<'a> {
    /// Content type.
    pub content_type: Option<&'a str>,
    /// Whether the payload was said to be UTF-8.
    pub is_utf8: bool,
    /// Response topic.
    pub response_topic: Option<&'a str>,
    /// Correlation data.
    pub correlation_data: Option<&'a [u8]>,
    /// User properties in their order.
    pub user: &'a [(String, String)],
}

/// What a statement asks of the world around it.
pub trait Surroundings {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;
    /// The account that owns the rule.
    fn account_id(&self) -> &str;
    /// A random UUID.
    fn new_uuid(&self) -> String;
    /// A random number from 0 to 1.
    fn random(&self) -> f64;
    /// Asks another service: `aws_lambda` and its like.
    ///
    /// # Errors
    /// A sentence why there is no answer.
    fn external(&self, function: &str, arguments: &[Option<Value>]) -> Result<Value, String>;
}

/// Why a statement gave nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// The statement names members of a payload that is no JSON object.
    #[error("the payload is no JSON object, and the rule names {0:?} in it")]
    NotJson(String),
    /// A function asked another service in vain.
    #[error("{function}(): {reason}")]
    External {
        /// Its name.
        function: String,
        /// Why.
        reason: String,
    },
}

/// The payload as far as it could be read.
#[derive(Debug)]
enum Payload {
    Object(Value),
    Empty,
    Other,
}

/// One message under one statement: evaluates the statement, and the substitution templates of its actions.
pub struct Evaluation<'a> {
    pub(super) rule: &'a RuleSql,
    pub(super) message: &'a Message<'a>,
    pub(super) surroundings: &'a dyn Surroundings,
    payload: Payload,
    variables: Vec<Option<Value>>,
}

/// What an expression gives; none is Undefined.
pub(super) type Evaluated<'a> = Result<Option<Cow<'a, Value>>, EvaluationError>;

impl RuleSql {
    /// Puts a message under the statement.
    ///
    /// # Errors
    /// When a variable of a SET clause cannot be evaluated.
    pub fn on<'a>(
        &'a self,
        message: &'a Message<'a>,
        surroundings: &'a dyn Surroundings,
    ) -> Result<Evaluation<'a>, EvaluationError> {
        let payload = match message.payload {
            [] => Payload::Empty,
            bytes => match serde_json::from_slice(bytes) {
                Ok(mut object @ Value::Object(_)) => {
                    if self.version >= SqlVersion::V2016_03_23 {
                        convert::whole_numbers_are_ints(&mut object);
                    }
                    Payload::Object(object)
                }
                Ok(_) | Err(_) => Payload::Other,
            },
        };
        let mut evaluation = Evaluation {
            rule: self,
            message,
            surroundings,
            payload,
            variables: Vec::new(),
        };
        for (_, expression) in &self.variables {
            let value = evaluation.value(expression, None)?.map(Cow::into_owned);
            evaluation.variables.push(value);
        }
        Ok(evaluation)
    }
}

impl<'a> Evaluation<'a> {
    /// What the actions get; none when WHERE is not true.
    ///
    /// # Errors
    /// When the payload or another service does not give what the statement asks for.
    pub fn output(&self) -> Result<Option<Vec<u8>>, EvaluationError> {
        if let Some(condition) = &self.rule.condition {
            let value = self.value(condition, None)?;
            if value.as_deref().and_then(boolean) != Some(true) {
                return Ok(None);
            }
        }
        let value = match &self.rule.selection {
            Selection::Everything => match &self.payload {
                // Compact, and with the numbers as the version has them.
                Payload::Object(object) => return Ok(Some(json(object))),
                // "If the message payload is not in JSON format, * returns the entire payload as raw bytes."
                Payload::Empty | Payload::Other => return Ok(Some(self.message.payload.to_vec())),
            },
            Selection::Value(expression) => {
                let value = self.value(expression, None)?;
                // Arrays as the whole output came in 2016.
                let first = self.rule.version == SqlVersion::V2015_10_08;
                value.filter(|value| !(first && value.is_array()))
            }
            Selection::Items(items) => Some(Cow::Owned(self.items(items, None)?)),
        };
        // "Undefined is converted to an empty string when serialized by itself."
        Ok(Some(value.map_or_else(Vec::new, |value| json(&value))))
    }

    /// The text of a substitution template.
    ///
    /// # Errors
    /// As [`Evaluation::output`].
    pub fn fill(&self, template: &Substitution) -> Result<String, EvaluationError> {
        let mut filled = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Expression(expression) => {
                    let value = self.value(expression, None)?;
                    if let Some(text) = value.as_deref().and_then(convert::text) {
                        filled.push_str(&text);
                    }
                }
            }
        }
        Ok(filled)
    }

    /// The payload as the argument of a function.
    pub(super) fn payload(&self) -> Evaluated<'_> {
        match &self.payload {
            Payload::Object(object) => Ok(Some(Cow::Borrowed(object))),
            Payload::Empty => Ok(None),
            Payload::Other => Err(EvaluationError::NotJson("*".to_owned())),
        }
    }

    /// What an expression gives. `scope` is the element of a nested SELECT, none for the payload.
    pub(super) fn value<'s>(
        &'s self,
        expression: &'s Expression,
        scope: Option<&'s Value>,
    ) -> Evaluated<'s> {
        Ok(match expression {
            Expression::Literal(value) => Some(Cow::Borrowed(value)),
            Expression::Payload => return self.payload(),
            Expression::Name(name) => {
                let object = match (scope, &self.payload) {
                    (Some(element), _) => element,
                    (None, Payload::Object(object)) => object,
                    (None, Payload::Empty) => return Ok(None),
                    (None, Payload::Other) => return Err(EvaluationError::NotJson(name.clone())),
                };
                object.get(name).map(Cow::Borrowed)
            }
            Expression::Variable(index) => {
                let value = self.variables.get(*index).and_then(Option::as_ref);
                value.map(Cow::Borrowed)
            }
            Expression::Member(object, name) => match self.value(object, scope)? {
                Some(Cow::Borrowed(object)) => object.get(name).map(Cow::Borrowed),
                Some(Cow::Owned(Value::Object(mut object))) => object.remove(name).map(Cow::Owned),
                _ => None,
            },
            Expression::Array(items) => {
                let mut array = Vec::with_capacity(items.len());
                for item in items {
                    // JSON has no Undefined; it is left out as it is of an object.
                    array.extend(self.value(item, scope)?.map(Cow::into_owned));
                }
                Some(Cow::Owned(Value::Array(array)))
            }
            Expression::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    if let Some(value) = self.value(member, scope)? {
                        object.insert(name.clone(), value.into_owned());
                    }
                }
                Some(Cow::Owned(Value::Object(object)))
            }
            Expression::Not(operand) => {
                let operand = self.value(operand, scope)?;
                truth(operand.as_deref().and_then(boolean).map(|value| !value))
            }
            Expression::Negative(operand) => {
                let operand = self.value(operand, scope)?;
                let number = operand.as_deref().and_then(Number::of);
                self.number(number.map(|number| number.negative()))
            }
            Expression::Operation(operator, left, right) => {
                let left = self.value(left, scope)?;
                let right = self.value(right, scope)?;
                self.operation(*operator, left.as_deref(), right.as_deref())
            }
            Expression::In(value, list, negated) => {
                let value = self.value(value, scope)?;
                let list = self.value(list, scope)?;
                match (value.as_deref(), list.as_deref()) {
                    (Some(value), Some(Value::Array(list))) => {
                        let found = list.iter().any(|item| equal(item, value));
                        truth(Some(found != *negated))
                    }
                    _ => None,
                }
            }
            Expression::Case {
                value,
                branches,
                otherwise,
            } => {
                let Some(value) = self.value(value, scope)? else {
                    return Ok(None);
                };
                for (candidate, result) in branches {
                    let candidate = self.value(candidate, scope)?;
                    if candidate.is_some_and(|candidate| equal(&candidate, &value)) {
                        return self.value(result, scope);
                    }
                }
                match otherwise {
                    Some(otherwise) => return self.value(otherwise, scope),
                    None => None,
                }
            }
            Expression::Cast(value, target) => {
                let value = self.value(value, scope)?;
                value
                    .and_then(|value| convert::cast(&value, *target, self.rule.version))
                    .map(Cow::Owned)
            }
            Expression::Call(call) => return call::call(self, call, scope),
            Expression::Nested(nested) => self.nested(nested, scope)?.map(Cow::Owned),
            Expression::Exists(nested) => {
                let found = self.nested(nested, scope)?;
                truth(Some(match found {
                    None => false,
                    Some(Value::Array(elements)) => !elements.is_empty(),
                    Some(_) => true,
                }))
            }
        })
    }

    /// A number as this version of the language gives it out.
    pub(super) fn number<'s>(&self, number: Option<Number>) -> Option<Cow<'s, Value>> {
        let value = number?.to_value(self.rule.version)?;
        Some(Cow::Owned(value))
    }

    fn operation<'s>(
        &self,
        operator: Operator,
        left: Option<&Value>,
        right: Option<&Value>,
    ) -> Option<Cow<'s, Value>> {
        // Undefined on either side gives Undefined, whatever the operator.
        let (left, right) = (left?, right?);
        let booleans = || Some((boolean(left)?, boolean(right)?));
        let numbers = || Some((Number::of(left)?, Number::of(right)?));
        let ordered = |wanted: fn(std::cmp::Ordering) -> bool| {
            let (left, right) = numbers()?;
            left.partial_cmp(&right).map(wanted)
        };
        let calculated = |calculate: fn(&Number, &Number) -> Option<Number>| {
            let (left, right) = numbers()?;
            self.number(calculate(&left, &right))
        };
        match operator {
            Operator::And => truth(booleans().map(|(left, right)| left && right)),
            Operator::Or => truth(booleans().map(|(left, right)| left || right)),
            Operator::Equal => truth(Some(equal(left, right))),
            Operator::NotEqual => truth(Some(!equal(left, right))),
            Operator::Less => truth(ordered(std::cmp::Ordering::is_lt)),
            Operator::LessOrEqual => truth(ordered(std::cmp::Ordering::is_le)),
            Operator::Greater => truth(ordered(std::cmp::Ordering::is_gt)),
            Operator::GreaterOrEqual => truth(ordered(std::cmp::Ordering::is_ge)),
            Operator::Plus if left.is_string() || right.is_string() => {
                let (left, right) = (convert::text(left)?, convert::text(right)?);
                Some(Cow::Owned(Value::String(format!("{left}{right}"))))
            }
            Operator::Plus => calculated(Number::plus),
            Operator::Minus => calculated(Number::minus),
            Operator::Times => calculated(Number::times),
            Operator::Divide => calculated(Number::divided_by),
            Operator::Modulo => calculated(Number::modulo),
        }
    }

    /// A SELECT over the elements of an array gives an array; over anything else, what it selects of that.
    fn nested(
        &self,
        nested: &Nested,
        scope: Option<&Value>,
    ) -> Result<Option<Value>, EvaluationError> {
        let Some(source) = self.value(&nested.source, scope)? else {
            return Ok(None);
        };
        match &*source {
            Value::Array(elements) => {
                let mut selected = Vec::new();
                for element in elements {
                    selected.extend(self.element(nested, element)?);
                }
                Ok(Some(Value::Array(selected)))
            }
            one => self.element(nested, one),
        }
    }

    fn element(&self, nested: &Nested, element: &Value) -> Result<Option<Value>, EvaluationError> {
        if let Some(condition) = &nested.condition {
            let value = self.value(condition, Some(element))?;
            if value.as_deref().and_then(boolean) != Some(true) {
                return Ok(None);
            }
        }
        match &nested.selection {
            Selection::Everything => Ok(Some(element.clone())),
            Selection::Value(expression) => {
                let value = self.value(expression, Some(element))?;
                Ok(value.map(Cow::into_owned))
            }
            Selection::Items(items) => self.items(items, Some(element)).map(Some),
        }
    }

    fn items(&self, items: &[Item], scope: Option<&Value>) -> Result<Value, EvaluationError> {
        let mut selected = Map::new();
        for item in items {
            match item {
                Item::Everything => {
                    let everything = match scope {
                        Some(element) => Some(Cow::Borrowed(element)),
                        None => self.payload()?,
                    };
                    if let Some(Value::Object(members)) = everything.as_deref() {
                        let copies = members
                            .iter()
                            .map(|(name, value)| (name.clone(), value.clone()));
                        selected.extend(copies);
                    }
                }
                Item::Named(expression, path) => {
                    if let Some(value) = self.value(expression, scope)? {
                        insert(&mut selected, path, value.into_owned());
                    }
                }
            }
        }
        Ok(Value::Object(selected))
    }

    /// The payload in base64, whatever it is.
    pub(super) fn payload_in_base64(&self) -> String {
        STANDARD.encode(self.message.payload)
    }
}

pub(super) fn truth<'s>(value: Option<bool>) -> Option<Cow<'s, Value>> {
    value.map(|value| Cow::Owned(Value::Bool(value)))
}

/// Puts a value at a path, making the objects on the way.
fn insert(object: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            object.insert(name.clone(), value);
        }
        [outer, inner @ ..] => {
            let member = object
                .entry(outer.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if !member.is_object() {
                *member = Value::Object(Map::new());
            }
            if let Value::Object(member) = member {
                insert(member, inner, value);
            }
        }
    }
}

fn json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
