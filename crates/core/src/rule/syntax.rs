//! A statement that was understood: clauses and expressions.

use regex_lite::Regex;
use serde_json::Value;

use super::function::Function;

/// `[VALUE] items` of a SELECT.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// `*` alone: the payload as it is.
    Everything,
    /// `VALUE expression`.
    Value(Expression),
    /// A list of items, which becomes an object.
    Items(Vec<Item>),
}

/// One item of a SELECT list.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// `*`: every member of the payload.
    Everything,
    /// An expression and the path of the member it becomes.
    Named(Expression, Vec<String>),
}

/// `(SELECT … FROM … WHERE …)` over a part of the payload.
#[derive(Clone, Debug)]
pub(super) struct Nested {
    pub(super) selection: Selection,
    pub(super) source: Expression,
    pub(super) condition: Option<Expression>,
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

/// What a cast makes of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Text,
    Int,
    Decimal,
    Boolean,
}

/// `name(a, b)`.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) function: Function,
    pub(super) arguments: Vec<Expression>,
    /// The regular expression in the second argument, where it is a literal.
    pub(super) pattern: Option<Regex>,
}

/// Anything with a value.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// A literal string, number, boolean or null.
    Literal(Value),
    /// `*` as the argument of a function: the payload.
    Payload,
    /// A member of the payload.
    Name(String),
    /// `@name`.
    Variable(usize),
    /// `expression.member`.
    Member(Box<Expression>, String),
    /// `[a, b]`.
    Array(Vec<Expression>),
    /// `{'a': b}`.
    Object(Vec<(String, Expression)>),
    /// `NOT a`.
    Not(Box<Expression>),
    /// `-a`.
    Negative(Box<Expression>),
    /// `a + b` and its like.
    Operation(Operator, Box<Expression>, Box<Expression>),
    /// `a IN b`, and whether NOT stood before IN.
    In(Box<Expression>, Box<Expression>, bool),
    /// `CASE a WHEN b THEN c … ELSE d END`.
    Case {
        value: Box<Expression>,
        branches: Vec<(Expression, Expression)>,
        otherwise: Option<Box<Expression>>,
    },
    /// `cast(a AS type)`.
    Cast(Box<Expression>, Type),
    /// `name(a, b)`.
    Call(Call),
    /// `(SELECT …)`.
    Nested(Box<Nested>),
    /// `EXISTS (SELECT …)`.
    Exists(Box<Nested>),
}
