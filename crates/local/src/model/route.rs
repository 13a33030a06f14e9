//! From method and path to the number of an operation. Matching is on raw segments; labels are decoded afterwards, so
//! that a `%2F` in an ARN stays part of its segment.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

/// Label name and decoded value; `None` when it is not UTF-8.
pub(super) type Label<'a> = (&'a str, Option<String>);

/// The paths of a service.
#[derive(Debug, Default)]
pub(super) struct Router {
    by_method: HashMap<String, Vec<Template>>,
}

#[derive(Debug)]
struct Template {
    operation: usize,
    segments: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    Literal(String),
    Label(String),
    /// The rest of the path, slashes included.
    Greedy(String),
}

impl Router {
    /// From method and path of every operation, in the order of their numbers.
    pub(super) fn new<'a>(operations: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut by_method: HashMap<String, Vec<Template>> = HashMap::new();
        for (operation, (method, path)) in operations.enumerate() {
            let template = Template {
                operation,
                segments: segments(path).map(Segment::parse).collect(),
            };
            by_method
                .entry(method.to_owned())
                .or_default()
                .push(template);
        }
        // A literal wins over a label in the same place: /principals/things is not a thing's path.
        for templates in by_method.values_mut() {
            templates.sort_by_key(|template| {
                let rank = |segment: &Segment| match segment {
                    Segment::Literal(_) => 0,
                    Segment::Label(_) => 1,
                    Segment::Greedy(_) => 2,
                };
                template.segments.iter().map(rank).collect::<Vec<u8>>()
            });
        }
        Self { by_method }
    }

    /// The operation that a method and a raw (still encoded) path mean, and the labels of its path.
    pub(super) fn find<'a>(
        &'a self,
        method: &str,
        path: &'a str,
    ) -> Option<(usize, Vec<Label<'a>>)> {
        let path: Vec<&str> = segments(path).collect();
        let templates = self.by_method.get(method)?;
        templates
            .iter()
            .find_map(|template| Some((template.operation, template.matches(&path)?)))
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        let label = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        match label {
            None => Self::Literal(text.to_owned()),
            Some(label) => match label.strip_suffix('+') {
                Some(label) => Self::Greedy(label.to_owned()),
                None => Self::Label(label.to_owned()),
            },
        }
    }
}

impl Template {
    fn matches<'a>(&'a self, path: &[&'a str]) -> Option<Vec<Label<'a>>> {
        let mut labels = Vec::new();
        let mut rest = path;
        for segment in &self.segments {
            match segment {
                Segment::Greedy(label) => {
                    labels.push((label.as_str(), decode(&rest.join("/"))));
                    return (!rest.is_empty()).then_some(labels);
                }
                Segment::Literal(literal) => {
                    let (first, tail) = rest.split_first()?;
                    if first != literal {
                        return None;
                    }
                    rest = tail;
                }
                Segment::Label(label) => {
                    let (first, tail) = rest.split_first()?;
                    labels.push((label.as_str(), decode(first)));
                    rest = tail;
                }
            }
        }
        rest.is_empty().then_some(labels)
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

fn decode(segment: &str) -> Option<String> {
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Service, table};

    fn routed(method: &str, path: &str) -> Option<(String, Vec<String>)> {
        let route = table(Service::Iot).route(method, path)?;
        let labels = route
            .labels
            .iter()
            .map(|(_, value)| value.clone().unwrap_or_default())
            .collect();
        Some((route.operation.name.clone(), labels))
    }

    #[test]
    fn the_traps_of_the_protocol_are_routed_right() {
        let name = |method, path| routed(method, path).map(|(name, _)| name);
        assert_eq!(name("POST", "/things").as_deref(), Some("RegisterThing"));
        assert_eq!(name("POST", "/things/a").as_deref(), Some("CreateThing"));
        assert_eq!(
            name("POST", "/target-policies/p").as_deref(),
            Some("DetachPolicy")
        );
        assert_eq!(
            name("PUT", "/target-policies/p").as_deref(),
            Some("AttachPolicy")
        );
        let groups = "/thing-groups/addThingToThingGroup";
        assert_eq!(name("PUT", groups).as_deref(), Some("AddThingToThingGroup"));
        assert_eq!(
            name("GET", "/principals/things").as_deref(),
            Some("ListPrincipalThings")
        );
        assert_eq!(name("GET", "/nowhere"), None);
        assert_eq!(name("BREW", "/things"), None);
    }

    #[test]
    fn labels_are_decoded_after_routing() {
        let arn = "arn%3Aaws%3Aiot%3Aeu-west-1%3A123456789012%3Acert%2Fabc";
        let (name, labels) = routed("POST", &format!("/attached-policies/{arn}")).unwrap();
        assert_eq!(name, "ListAttachedPolicies");
        assert_eq!(labels, ["arn:aws:iot:eu-west-1:123456789012:cert/abc"]);
    }

    #[test]
    fn a_greedy_label_takes_the_rest() {
        let (_, labels) = routed("GET", "/destinations/arn:aws:iot:a/b/c").unwrap();
        assert_eq!(labels, ["arn:aws:iot:a/b/c"]);
    }
}
