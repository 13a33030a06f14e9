//! Pages of a list: a size, and an opaque token that names the last item of the page before.

use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imbl::{OrdMap, OrdSet};
use serde_json::{Map, Value, json};

use crate::account::{ApiError, Timestamp};
use crate::model::Input;

/// Items of a page when none are asked for: certificate, policy and CA lists (documented), registry lists (chosen).
const PAGE_SIZE: u64 = 25;
const MAX_RESULTS: u64 = 50;

/// Which page is wanted.
#[derive(Debug)]
pub(crate) struct Page {
    size: usize,
    after: Option<String>,
    token_name: &'static str,
    ascending: bool,
}

impl Page {
    /// A list with `pageSize`, `marker`, `nextMarker` and perhaps `ascendingOrder` (omitted: newest first).
    pub(super) fn marked(input: &Input) -> Result<Self, ApiError> {
        let size = input.number("pageSize").unwrap_or(PAGE_SIZE);
        Self::new(input, size, "marker", "nextMarker")
    }

    /// A list with `maxResults` and `nextToken`.
    pub(crate) fn tokened(input: &Input) -> Result<Self, ApiError> {
        let size = input.number("maxResults").unwrap_or(MAX_RESULTS);
        Self::new(input, size, "nextToken", "nextToken")
    }

    /// A list of AWS Lambda, with `MaxItems`, `Marker` and `NextMarker`.
    pub(crate) fn of_functions(input: &Input) -> Result<Self, ApiError> {
        let size = input.number("MaxItems").unwrap_or(MAX_RESULTS);
        let page = Self::new(input, size, "Marker", "NextMarker");
        page.map_err(|error| ApiError::new("InvalidParameterValueException", error.message))
    }

    fn new(
        input: &Input,
        size: u64,
        token: &str,
        token_name: &'static str,
    ) -> Result<Self, ApiError> {
        let after = match input.text(token) {
            None | Some("") => None,
            Some(text) => Some(decode(text).ok_or_else(|| {
                ApiError::invalid_request(format!("The {token} is not one this account has given"))
            })?),
        };
        Ok(Self {
            size: usize::try_from(size).unwrap_or(1).max(1),
            after,
            token_name,
            ascending: input.flag("ascendingOrder"),
        })
    }

    /// One page of a map in the order of its keys, of those entries that `pick` wants.
    pub(crate) fn of_map<V>(
        &self,
        list_name: &str,
        map: &OrdMap<String, V>,
        mut pick: impl FnMut(&str, &V) -> Option<Value>,
    ) -> Value {
        let start = match &self.after {
            Some(after) => Bound::Excluded(after.as_str()),
            None => Bound::Unbounded,
        };
        let entries = map.range::<_, str>((start, Bound::Unbounded));
        self.collect(
            list_name,
            entries.filter_map(|(key, value)| Some((key.clone(), pick(key, value)?))),
        )
    }

    /// One page of items in alphabetical order of their keys.
    pub(crate) fn of_keyed(&self, list_name: &str, mut items: Vec<(String, Value)>) -> Value {
        items.sort_by(|left, right| left.0.cmp(&right.0));
        let after = self.after.as_deref();
        let rest = items
            .into_iter()
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        self.collect(list_name, rest)
    }

    /// One page of items ordered by age, of those entries that `pick` wants. Where the operation has no
    /// `ascendingOrder`, say `oldest_first`.
    pub(super) fn of_ages(
        &self,
        list_name: &str,
        ages: &OrdSet<(Timestamp, Arc<str>)>,
        oldest_first: bool,
        mut pick: impl FnMut(&str) -> Option<Value>,
    ) -> Value {
        let after = self.after.as_deref().and_then(parse_age_key);
        let mut item =
            |(date, name): &(Timestamp, Arc<str>)| Some((age_key(*date, name), pick(name)?));
        if oldest_first || self.ascending {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let rest = ages.range((start, Bound::Unbounded));
            self.collect(list_name, rest.filter_map(&mut item))
        } else {
            let end = after.map_or(Bound::Unbounded, Bound::Excluded);
            let rest = ages.range((Bound::Unbounded, end)).rev();
            self.collect(list_name, rest.filter_map(&mut item))
        }
    }

    fn collect(&self, list_name: &str, mut items: impl Iterator<Item = (String, Value)>) -> Value {
        let mut page = Vec::new();
        let mut last = None;
        for (key, value) in items.by_ref().take(self.size) {
            page.push(value);
            last = Some(key);
        }
        let mut answer = Map::from_iter([(list_name.to_owned(), Value::Array(page))]);
        if let Some(last) = last
            && items.next().is_some()
        {
            answer.insert(self.token_name.to_owned(), json!(STANDARD.encode(last)));
        }
        Value::Object(answer)
    }
}

fn age_key(date: Timestamp, name: &str) -> String {
    format!("{}/{name}", date.0)
}

fn parse_age_key(key: &str) -> Option<(Timestamp, Arc<str>)> {
    let (microseconds, name) = key.split_once('/')?;
    Some((Timestamp(microseconds.parse().ok()?), name.into()))
}

fn decode(token: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: u64, token: Option<&str>) -> Page {
        let mut members = Map::from_iter([("maxResults".to_owned(), json!(size))]);
        if let Some(token) = token {
            members.insert("nextToken".to_owned(), json!(token));
        }
        Page::tokened(&Input::from_members(members)).unwrap()
    }

    #[test]
    fn pages_follow_one_another_even_when_the_last_item_is_gone() {
        let mut map: OrdMap<String, u32> = (0..5_u32)
            .map(|index| (format!("k{index}"), index))
            .collect();
        let pick = |_: &str, value: &u32| Some(json!(value));
        let first = page(2, None).of_map("items", &map, pick);
        assert_eq!(first["items"], json!([0, 1]));
        map.remove("k1");
        let second = page(2, first["nextToken"].as_str()).of_map("items", &map, pick);
        assert_eq!(second["items"], json!([2, 3]));
        let third = page(2, second["nextToken"].as_str()).of_map("items", &map, pick);
        assert_eq!(third, json!({"items": [4]}));
    }

    #[test]
    fn a_token_from_elsewhere_is_refused() {
        let members = Map::from_iter([("nextToken".to_owned(), json!("@@"))]);
        let refused = Page::tokened(&Input::from_members(members)).unwrap_err();
        assert_eq!(refused.code, "InvalidRequestException");
    }
}
