//! From tokens to a statement: recursive descent, the loosest operator first.

use serde_json::Value;

use super::SqlVersion;
use super::error::{Position, SqlError, SqlWarning};
use super::filter;
use super::function::Function;
use super::pattern;
use super::syntax::{Call, Expression, Item, Nested, Operator, Selection, Type};
use super::token::{Placed, Token, at, shown, tokens};
use crate::template::suggest::did_you_mean;

/// The clauses of a statement.
pub(super) struct Statement {
    pub(super) variables: Vec<(String, Expression)>,
    pub(super) selection: Selection,
    pub(super) topic_filter: Option<String>,
    pub(super) condition: Option<Expression>,
    pub(super) warnings: Vec<SqlWarning>,
}

/// Reads a whole statement.
pub(super) fn statement(text: &str, version: SqlVersion) -> Result<Statement, SqlError> {
    let mut parser = Parser::new(text, version)?;
    let variables = parser.variables()?;
    parser.keyword("SELECT")?;
    let selection = parser.selection()?;
    let topic_filter = if parser.takes("FROM") {
        Some(parser.topic_filter()?)
    } else {
        None
    };
    let condition = if parser.takes("WHERE") {
        Some(parser.expression()?)
    } else {
        None
    };
    if topic_filter.is_some() || condition.is_some() {
        parser.end("the end of the statement, or WHERE")?;
    } else {
        parser.end("`,`, FROM or WHERE")?;
    }
    Ok(Statement {
        variables,
        selection,
        topic_filter,
        condition,
        warnings: parser.warnings,
    })
}

/// Reads the expression of a `${…}`, which may use the variables of its rule.
pub(super) fn expression(
    text: &str,
    version: SqlVersion,
    variables: &[String],
) -> Result<(Expression, Vec<SqlWarning>), SqlError> {
    let mut parser = Parser::new(text, version)?;
    parser.variables = variables.to_vec();
    let expression = parser.expression()?;
    parser.end("the end of the expression")?;
    Ok((expression, parser.warnings))
}

struct Parser<'a> {
    text: &'a str,
    version: SqlVersion,
    tokens: Vec<Placed>,
    next: usize,
    /// How many brackets, selects and calls enclose the present token.
    depth: usize,
    /// Expressions so far: they nest at most so deep.
    nodes: usize,
    variables: Vec<String>,
    warnings: Vec<SqlWarning>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, version: SqlVersion) -> Result<Self, SqlError> {
        Ok(Self {
            text,
            version,
            tokens: tokens(text)?,
            next: 0,
            depth: 0,
            nodes: 0,
            variables: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// `SET @a = expression, @b = expression`.
    fn variables(&mut self) -> Result<Vec<(String, Expression)>, SqlError> {
        let mut variables = Vec::new();
        if !self.is_word("SET") {
            return Ok(variables);
        }
        self.since_2016("SET")?;
        self.next += 1;
        loop {
            let place = self.offset();
            let Token::Variable(name) = self.take() else {
                return Err(at(self.text, place, "SET wants a variable: `@name = …`"));
            };
            if self.variables.contains(&name) {
                return Err(at(self.text, place, format!("@{name} has a value already")));
            }
            if variables.len() == MOST_VARIABLES {
                return Err(at(
                    self.text,
                    place,
                    format!("a statement has at most {MOST_VARIABLES} variables"),
                ));
            }
            self.sign("=")?;
            let value = self.expression()?;
            self.variables.push(name.clone());
            variables.push((name, value));
            if !self.takes_sign(",") {
                return Ok(variables);
            }
        }
    }

    /// What stands behind SELECT.
    fn selection(&mut self) -> Result<Selection, SqlError> {
        if self.is_word("VALUE") && !self.ends_item(1) {
            self.next += 1;
            if self.takes_sign("*") {
                return Ok(Selection::Everything);
            }
            return Ok(Selection::Value(self.expression()?));
        }
        let mut items = Vec::new();
        loop {
            if self.takes_sign("*") {
                items.push(Item::Everything);
            } else {
                let place = self.offset();
                let expression = self.expression()?;
                let name = if self.takes("AS") {
                    self.alias()?
                } else {
                    vec![self.name_without_alias(&expression, items.len(), place)]
                };
                items.push(Item::Named(expression, name));
            }
            if !self.takes_sign(",") {
                break;
            }
        }
        Ok(match items.as_slice() {
            [Item::Everything] => Selection::Everything,
            _ => Selection::Items(items),
        })
    }

    /// The member an item becomes that has no alias: the last name of its path, or the name of its function.
    fn name_without_alias(
        &mut self,
        expression: &Expression,
        index: usize,
        place: usize,
    ) -> String {
        match expression {
            Expression::Name(name) | Expression::Member(_, name) => name.clone(),
            Expression::Variable(variable) => self.variables[*variable].clone(),
            Expression::Call(call) => {
                let name = call.function.name().to_owned();
                self.warn(
                    place,
                    format!("without AS it is not documented that it becomes `{name}`"),
                );
                name
            }
            _ => {
                let name = format!("_{}", index + 1);
                self.warn(
                    place,
                    format!("without AS it is not documented that it becomes `{name}`"),
                );
                name
            }
        }
    }

    /// `name`, or `outer.inner` for a member of an object.
    fn alias(&mut self) -> Result<Vec<String>, SqlError> {
        let mut path = Vec::new();
        loop {
            let place = self.offset();
            match self.take() {
                Token::Word(word) => path.push(word),
                other => {
                    return Err(at(
                        self.text,
                        place,
                        format!(
                            "AS wants a name of letters, digits and underscores, not {}",
                            other.named()
                        ),
                    ));
                }
            }
            if !self.takes_sign(".") {
                return Ok(path);
            }
        }
    }

    fn topic_filter(&mut self) -> Result<String, SqlError> {
        let place = self.offset();
        let filter = match self.take() {
            Token::Text(filter, '\'') => filter,
            other => {
                return Err(at(
                    self.text,
                    place,
                    format!(
                        "FROM wants a topic filter in single quotes, not {}",
                        other.named()
                    ),
                ));
            }
        };
        match filter::fault(&filter) {
            Some(fault) => Err(at(self.text, place, fault)),
            None => Ok(filter),
        }
    }

    /// Any expression.
    fn expression(&mut self) -> Result<Expression, SqlError> {
        self.deeper()?;
        let expression = self.either()?;
        self.depth -= 1;
        Ok(expression)
    }

    fn either(&mut self) -> Result<Expression, SqlError> {
        let mut left = self.both()?;
        while self.takes("OR") {
            left = self.operation(Operator::Or, left, Self::both)?;
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Expression, SqlError> {
        let mut left = self.negation()?;
        while self.takes("AND") {
            left = self.operation(Operator::And, left, Self::negation)?;
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expression, SqlError> {
        if self.is_word("NOT") && !self.ends_item(1) {
            self.next += 1;
            self.deeper()?;
            let operand = self.negation()?;
            self.depth -= 1;
            return Ok(Expression::Not(Box::new(operand)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression, SqlError> {
        let mut left = self.sum()?;
        loop {
            let place = self.offset();
            let operator = match self.peek() {
                Token::Sign("=") => Operator::Equal,
                Token::Sign("<>") => Operator::NotEqual,
                Token::Sign("!=") => {
                    self.warn(place, "`!=` is not documented; the guide writes `<>`");
                    Operator::NotEqual
                }
                Token::Sign("<") => Operator::Less,
                Token::Sign("<=") => Operator::LessOrEqual,
                Token::Sign(">") => Operator::Greater,
                Token::Sign(">=") => Operator::GreaterOrEqual,
                Token::Word(word) if word.eq_ignore_ascii_case("IN") => {
                    self.next += 1;
                    left = self.membership(left, false)?;
                    continue;
                }
                Token::Word(word)
                    if word.eq_ignore_ascii_case("NOT") && self.is_word_at(1, "IN") =>
                {
                    self.next += 2;
                    left = self.membership(left, true)?;
                    continue;
                }
                Token::Word(word) => {
                    if let Some((_, instead)) = ABSENT
                        .iter()
                        .find(|(absent, _)| word.eq_ignore_ascii_case(absent))
                    {
                        return Err(at(
                            self.text,
                            place,
                            format!("rule SQL has no {}; {instead}", word.to_uppercase()),
                        ));
                    }
                    return Ok(left);
                }
                _ => return Ok(left),
            };
            self.next += 1;
            left = self.operation(operator, left, Self::sum)?;
        }
    }

    /// What stands behind IN: an array, or a list in round brackets.
    fn membership(&mut self, value: Expression, negated: bool) -> Result<Expression, SqlError> {
        self.node()?;
        let list = if matches!(self.peek(), Token::Sign("(")) && !self.is_word_at(1, "SELECT") {
            self.next += 1;
            Expression::Array(self.list(")")?)
        } else {
            self.sum()?
        };
        Ok(Expression::In(Box::new(value), Box::new(list), negated))
    }

    fn sum(&mut self) -> Result<Expression, SqlError> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Sign("+") => Operator::Plus,
                Token::Sign("-") => Operator::Minus,
                _ => return Ok(left),
            };
            self.next += 1;
            left = self.operation(operator, left, Self::product)?;
        }
    }

    fn product(&mut self) -> Result<Expression, SqlError> {
        let mut left = self.sign_of_number()?;
        loop {
            let operator = match self.peek() {
                Token::Sign("*") => Operator::Times,
                Token::Sign("/") => Operator::Divide,
                Token::Sign("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            self.next += 1;
            left = self.operation(operator, left, Self::sign_of_number)?;
        }
    }

    fn operation(
        &mut self,
        operator: Operator,
        left: Expression,
        operand: fn(&mut Self) -> Result<Expression, SqlError>,
    ) -> Result<Expression, SqlError> {
        self.node()?;
        let right = operand(self)?;
        Ok(Expression::Operation(
            operator,
            Box::new(left),
            Box::new(right),
        ))
    }

    fn sign_of_number(&mut self) -> Result<Expression, SqlError> {
        if !self.takes_sign("-") {
            return self.path();
        }
        if let Token::Number(number) = self.peek().clone() {
            let place = self.offset();
            self.next += 1;
            return Ok(Expression::Literal(
                self.number(&format!("-{number}"), place)?,
            ));
        }
        self.deeper()?;
        let operand = self.sign_of_number()?;
        self.depth -= 1;
        Ok(Expression::Negative(Box::new(operand)))
    }

    /// A primary expression and the members taken of it.
    fn path(&mut self) -> Result<Expression, SqlError> {
        let mut expression = self.primary()?;
        loop {
            if self.takes_sign(".") {
                self.node()?;
                let place = self.offset();
                match self.take() {
                    Token::Word(word) => {
                        expression = Expression::Member(Box::new(expression), word);
                    }
                    other => {
                        return Err(at(
                            self.text,
                            place,
                            format!(
                                "`.` wants the name of a member, not {}; what is no such name is reached by \
                                 get(object, 'name')",
                                other.named()
                            ),
                        ));
                    }
                }
            } else if matches!(self.peek(), Token::Sign("[")) {
                return Err(self.here("rule SQL has no index; write get(array, 0)"));
            } else {
                return Ok(expression);
            }
        }
    }

    fn primary(&mut self) -> Result<Expression, SqlError> {
        self.node()?;
        let place = self.offset();
        match self.take() {
            Token::Text(text, _) => Ok(Expression::Literal(Value::String(text))),
            Token::Number(number) => Ok(Expression::Literal(self.number(&number, place)?)),
            Token::Variable(name) => self
                .variables
                .iter()
                .position(|variable| *variable == name)
                .map(Expression::Variable)
                .ok_or_else(|| {
                    let known = did_you_mean(&name, self.variables.iter().map(String::as_str));
                    let shown = shown(&name);
                    at(self.text, place, format!("@{shown} has no value{known}"))
                }),
            Token::Sign("(") => {
                if self.is_word("SELECT") {
                    return Ok(Expression::Nested(Box::new(self.nested()?)));
                }
                let expression = self.expression()?;
                self.sign(")")?;
                Ok(expression)
            }
            Token::Sign("[") => {
                self.since_2016_at("an array literal", place)?;
                Ok(Expression::Array(self.list("]")?))
            }
            Token::Sign("{") => {
                self.since_2016_at("an object literal", place)?;
                self.object()
            }
            Token::Sign("*") => Err(at(
                self.text,
                place,
                "`*` is an item of SELECT or the argument of a function, and no part of an expression",
            )),
            Token::Word(word) => self.word(word, place),
            other => Err(at(
                self.text,
                place,
                format!("expected an expression, found {}", other.named()),
            )),
        }
    }

    /// A word where an expression begins.
    fn word(&mut self, word: String, place: usize) -> Result<Expression, SqlError> {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        let calls = matches!(self.peek(), Token::Sign("("));
        if is("CASE") {
            return self.case(place);
        }
        if is("EXISTS") && calls {
            self.since_2016_at("EXISTS", place)?;
            self.next += 1;
            return Ok(Expression::Exists(Box::new(self.nested()?)));
        }
        if is("CAST") && calls {
            return self.cast();
        }
        if calls {
            return self.call(&word, place);
        }
        if is("NULL") {
            return Ok(Expression::Literal(Value::Null));
        }
        if is("TRUE") {
            return Ok(Expression::Literal(Value::Bool(true)));
        }
        if is("FALSE") {
            return Ok(Expression::Literal(Value::Bool(false)));
        }
        if KEYWORDS.iter().any(|keyword| is(keyword)) {
            return Err(at(
                self.text,
                place,
                format!("expected an expression, found {}", word.to_uppercase()),
            ));
        }
        Ok(Expression::Name(word))
    }

    /// `(SELECT … FROM … WHERE …)` behind its opening bracket.
    fn nested(&mut self) -> Result<Nested, SqlError> {
        self.since_2016("a SELECT within a SELECT")?;
        self.keyword("SELECT")?;
        self.deeper()?;
        let selection = self.selection()?;
        self.keyword("FROM")?;
        let source = self.path()?;
        let condition = if self.takes("WHERE") {
            Some(self.expression()?)
        } else {
            None
        };
        self.sign(")")?;
        self.depth -= 1;
        Ok(Nested {
            selection,
            source,
            condition,
        })
    }

    fn case(&mut self, place: usize) -> Result<Expression, SqlError> {
        if self.is_word("WHEN") {
            return Err(self.here(
                "CASE wants a value to compare: CASE value WHEN …; for a condition write CASE (condition) WHEN true \
                 THEN …",
            ));
        }
        let value = Box::new(self.expression()?);
        let mut branches = Vec::new();
        while self.takes("WHEN") {
            let candidate = self.expression()?;
            self.keyword("THEN")?;
            branches.push((candidate, self.expression()?));
        }
        if branches.is_empty() {
            return Err(at(self.text, place, "CASE wants at least one WHEN"));
        }
        let otherwise = if self.takes("ELSE") {
            Some(Box::new(self.expression()?))
        } else {
            None
        };
        self.keyword("END")?;
        Ok(Expression::Case {
            value,
            branches,
            otherwise,
        })
    }

    /// `(value AS type)`.
    fn cast(&mut self) -> Result<Expression, SqlError> {
        self.sign("(")?;
        let value = self.expression()?;
        self.keyword("AS")?;
        let place = self.offset();
        let Token::Word(word) = self.take() else {
            return Err(at(self.text, place, "cast wants a type behind AS"));
        };
        let Some((name, target, since)) = TYPES
            .iter()
            .find(|(name, ..)| word.eq_ignore_ascii_case(name))
        else {
            let known = did_you_mean(&word, TYPES.iter().map(|(name, ..)| *name));
            return Err(at(
                self.text,
                place,
                format!("there is no type `{}` to cast to{known}", shown(&word)),
            ));
        };
        if self.version < *since {
            return Err(self.too_new(&format!("cast to {name}"), place));
        }
        self.sign(")")?;
        Ok(Expression::Cast(Box::new(value), *target))
    }

    fn call(&mut self, word: &str, place: usize) -> Result<Expression, SqlError> {
        let Some(function) = Function::named(word) else {
            let known = did_you_mean(word, Function::NAMES.iter().copied());
            return Err(at(
                self.text,
                place,
                format!("there is no function `{}`{known}", shown(word)),
            ));
        };
        if !function.is_in(self.version) {
            return Err(self.too_new(&format!("{}()", function.name()), place));
        }
        self.sign("(")?;
        let first = self.offset();
        let arguments = self.list(")")?;
        let (fewest, most) = function.arguments();
        if !(fewest..=most).contains(&arguments.len()) {
            self.warn(
                place,
                format!(
                    "{}() takes {} and has {}; its value is Undefined",
                    function.name(),
                    function.arguments_in_words(),
                    arguments.len()
                ),
            );
        }
        if matches!(function, Function::Encode | Function::Decode) {
            let scheme = match arguments.get(1) {
                Some(Expression::Literal(Value::String(scheme))) => Some(scheme.as_str()),
                Some(_) => None,
                None => Some("base64"),
            };
            let known =
                scheme == Some("base64") || scheme == Some("proto") && function == Function::Decode;
            if !known {
                return Err(at(
                    self.text,
                    first,
                    format!(
                        "the second argument of {}() is the literal 'base64'",
                        function.name()
                    ),
                ));
            }
        }
        let pattern = match (function, arguments.get(1)) {
            (
                Function::RegexpMatches | Function::RegexpReplace | Function::RegexpSubstr,
                Some(Expression::Literal(Value::String(pattern))),
            ) => {
                let compiled = pattern::compile(pattern);
                if compiled.is_none() {
                    self.warn(
                        first,
                        format!("{pattern:?} is no regular expression that can be read here"),
                    );
                }
                compiled
            }
            _ => None,
        };
        Ok(Expression::Call(Call {
            function,
            arguments,
            pattern,
        }))
    }

    /// Expressions between commas, up to and with the closing bracket. `*` stands for the payload.
    fn list(&mut self, closing: &'static str) -> Result<Vec<Expression>, SqlError> {
        let mut list = Vec::new();
        if self.takes_sign(closing) {
            return Ok(list);
        }
        loop {
            if closing == ")"
                && matches!(self.peek(), Token::Sign("*"))
                && matches!(self.peek_at(1), Token::Sign("," | ")"))
            {
                self.next += 1;
                self.node()?;
                list.push(Expression::Payload);
            } else {
                list.push(self.expression()?);
            }
            if !self.takes_sign(",") {
                self.sign(closing)?;
                return Ok(list);
            }
        }
    }

    /// Members of an object literal, behind its opening bracket.
    fn object(&mut self) -> Result<Expression, SqlError> {
        let mut members = Vec::new();
        if self.takes_sign("}") {
            return Ok(Expression::Object(members));
        }
        loop {
            let place = self.offset();
            let Token::Text(name, _) = self.take() else {
                return Err(at(
                    self.text,
                    place,
                    "the name of a member of an object literal is a string",
                ));
            };
            self.sign(":")?;
            members.push((name, self.expression()?));
            if !self.takes_sign(",") {
                self.sign("}")?;
                return Ok(Expression::Object(members));
            }
        }
    }

    fn number(&self, number: &str, place: usize) -> Result<Value, SqlError> {
        serde_json::from_str(number)
            .map_err(|_| at(self.text, place, format!("{number} is not a number")))
    }

    // What stands where.

    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    /// The token so many behind the next; the last one is the end.
    fn peek_at(&self, ahead: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.next + ahead).min(last)].token
    }

    fn offset(&self) -> usize {
        self.tokens[self.next.min(self.tokens.len() - 1)].offset
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn is_word(&self, keyword: &str) -> bool {
        self.is_word_at(0, keyword)
    }

    fn is_word_at(&self, ahead: usize, keyword: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Whether an item of SELECT would be complete before a token: then the word before it was a name.
    fn ends_item(&self, ahead: usize) -> bool {
        matches!(
            self.peek_at(ahead),
            Token::End | Token::Sign("," | "." | ")")
        ) || self.is_word_at(ahead, "FROM")
            || self.is_word_at(ahead, "AS")
    }

    fn takes(&mut self, keyword: &str) -> bool {
        let there = self.is_word(keyword);
        self.next += usize::from(there);
        there
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.next += usize::from(there);
        there
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), SqlError> {
        if self.takes(keyword) {
            return Ok(());
        }
        let hint = match self.peek() {
            Token::Word(word) => did_you_mean(word, [keyword]),
            _ => String::new(),
        };
        Err(self.here(format!(
            "expected {keyword}, found {}{hint}",
            self.peek().named()
        )))
    }

    fn sign(&mut self, sign: &str) -> Result<(), SqlError> {
        if self.takes_sign(sign) {
            return Ok(());
        }
        Err(self.here(format!("expected `{sign}`, found {}", self.peek().named())))
    }

    fn end(&self, expected: &str) -> Result<(), SqlError> {
        match self.peek() {
            Token::End => Ok(()),
            other => Err(self.here(format!("expected {expected}, found {}", other.named()))),
        }
    }

    // What is too much, or too new.

    fn here(&self, message: impl Into<String>) -> SqlError {
        at(self.text, self.offset(), message)
    }

    fn warn(&mut self, place: usize, message: impl Into<String>) {
        self.warnings.push(SqlWarning {
            position: Position::of(self.text, place),
            message: message.into(),
        });
    }

    fn deeper(&mut self) -> Result<(), SqlError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.here(format!("expressions nest at most {DEEPEST} deep")));
        }
        Ok(())
    }

    fn node(&mut self) -> Result<(), SqlError> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(self.here(format!(
                "a statement has at most {MOST_NODES} names, literals and operators"
            )));
        }
        Ok(())
    }

    fn since_2016(&self, what: &str) -> Result<(), SqlError> {
        self.since_2016_at(what, self.offset())
    }

    fn since_2016_at(&self, what: &str, place: usize) -> Result<(), SqlError> {
        if self.version < SqlVersion::V2016_03_23 {
            return Err(self.too_new(what, place));
        }
        Ok(())
    }

    fn too_new(&self, what: &str, place: usize) -> SqlError {
        at(
            self.text,
            place,
            format!(
                "{what} wants SQL version {}, and the rule says {}",
                SqlVersion::V2016_03_23,
                self.version
            ),
        )
    }
}

/// Words that are no names where an expression begins.
const KEYWORDS: [&str; 12] = [
    "SELECT", "FROM", "WHERE", "AS", "AND", "OR", "IN", "WHEN", "THEN", "ELSE", "END", "SET",
];

/// Operators of other SQL, and what to write instead.
const ABSENT: [(&str, &str); 4] = [
    ("LIKE", "write startswith(), endswith() or regexp_matches()"),
    ("BETWEEN", "write a >= b AND a <= c"),
    ("IS", "write isNull() or isUndefined()"),
    ("NOT", "write NOT before the whole comparison"),
];

/// What a value can be cast to, and since when (AWS IoT developer guide, "cast()").
const TYPES: [(&str, Type, SqlVersion); 11] = [
    ("String", Type::Text, SqlVersion::V2015_10_08),
    ("Nvarchar", Type::Text, SqlVersion::V2015_10_08),
    ("Text", Type::Text, SqlVersion::V2015_10_08),
    ("Ntext", Type::Text, SqlVersion::V2015_10_08),
    ("Varchar", Type::Text, SqlVersion::V2015_10_08),
    ("Int", Type::Int, SqlVersion::V2015_10_08),
    ("Integer", Type::Int, SqlVersion::V2015_10_08),
    ("Double", Type::Decimal, SqlVersion::V2015_10_08),
    ("Decimal", Type::Decimal, SqlVersion::V2016_03_23),
    ("Bool", Type::Boolean, SqlVersion::V2016_03_23),
    ("Boolean", Type::Boolean, SqlVersion::V2016_03_23),
];

/// AWS IoT developer guide, "SET clause limits".
const MOST_VARIABLES: usize = 10;

/// Bounds that keep a hostile statement from exhausting the stack; no statement written by hand comes near them.
const DEEPEST: usize = 50;
const MOST_NODES: usize = 1000;
