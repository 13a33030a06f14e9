//! The topic tree: which filters match a topic, without looking at those that do not.
//!
//! It agrees with `jitp_wire::topic::matches`, AWS's deviation included: `a/#` does not match `a`.

use std::collections::HashMap;

/// Values filed under topic filters.
#[derive(Debug)]
pub(crate) struct Trie<T> {
    root: Node<T>,
}

/// One level. `here` belongs to the filter that ends at this level, `below` to the filter that goes
/// on with `#`.
#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<str>, Node<T>>,
    any: Option<Box<Node<T>>>,
    here: Vec<T>,
    below: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            children: HashMap::new(),
            any: None,
            here: Vec::new(),
            below: Vec::new(),
        }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
        }
    }
}

impl<T> Trie<T> {
    /// What is filed under a filter, made empty if there is nothing yet.
    pub(crate) fn values_mut(&mut self, filter: &str) -> &mut Vec<T> {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = match level {
                "#" => return &mut node.below,
                "+" => node.any.get_or_insert_default(),
                level => {
                    if !node.children.contains_key(level) {
                        node.children.insert(level.into(), Node::default());
                    }
                    node.children.entry(level.into()).or_default()
                }
            };
        }
        &mut node.here
    }

    /// Removes the values of a filter that `keep` refuses, and the levels nothing is left under.
    pub(crate) fn retain(&mut self, filter: &str, mut keep: impl FnMut(&mut T) -> bool) {
        retain(&mut self.root, filter.split('/'), &mut keep);
    }

    /// Calls `found` with every value whose filter matches the topic.
    pub(crate) fn for_each<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a T)) {
        // Filters that begin with a wildcard do not match topics that begin with $ [MQTT-4.7.2-1].
        let reserved = topic.starts_with('$');
        visit(&self.root, Some(topic), reserved, &mut found);
    }

    /// Whether nothing is filed at all.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.below.is_empty()
    }
}

fn visit<'a, T>(
    node: &'a Node<T>,
    rest: Option<&str>,
    skip_wildcards: bool,
    found: &mut impl FnMut(&'a T),
) {
    let Some(rest) = rest else {
        node.here.iter().for_each(found);
        return;
    };
    let (level, rest) = match rest.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (rest, None),
    };
    if !skip_wildcards {
        node.below.iter().for_each(&mut *found);
        if let Some(any) = &node.any {
            visit(any, rest, false, found);
        }
    }
    if !node.children.is_empty()
        && let Some(child) = node.children.get(level)
    {
        visit(child, rest, false, found);
    }
}

fn retain<'a, T>(
    node: &mut Node<T>,
    mut levels: impl Iterator<Item = &'a str>,
    keep: &mut impl FnMut(&mut T) -> bool,
) {
    match levels.next() {
        None => keep_in(&mut node.here, keep),
        Some("#") => keep_in(&mut node.below, keep),
        Some("+") => {
            if let Some(any) = &mut node.any {
                retain(any, levels, keep);
                if any.is_empty() {
                    node.any = None;
                }
            }
        }
        Some(level) => {
            if let Some(child) = node.children.get_mut(level) {
                retain(child, levels, keep);
                if child.is_empty() {
                    node.children.remove(level);
                    if node.children.is_empty() {
                        node.children = HashMap::new();
                    }
                }
            }
        }
    }
}

fn keep_in<T>(values: &mut Vec<T>, keep: &mut impl FnMut(&mut T) -> bool) {
    values.retain_mut(keep);
    if values.is_empty() {
        *values = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitp_wire::topic::{check_filter, matches};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn found(trie: &Trie<u32>, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        trie.for_each(topic, |value| found.push(*value));
        found.sort_unstable();
        found
    }

    fn path(random: &mut StdRng, words: &[&str]) -> String {
        let levels = random.random_range(1..=4);
        (0..levels)
            .map(|_| words[random.random_range(0..words.len())])
            .collect::<Vec<_>>()
            .join("/")
    }

    #[test]
    fn it_agrees_with_the_definition_of_matching_while_filters_come_and_go() {
        let mut random = StdRng::seed_from_u64(8883);
        let mut trie = Trie::default();
        let mut filed: Vec<(String, u32)> = Vec::new();
        for number in 0..4000 {
            let filter = path(&mut random, &["a", "b", "", "$aws", "+", "+", "#"]);
            if check_filter(&filter).is_ok() {
                trie.values_mut(&filter).push(number);
                filed.push((filter, number));
            }
            if random.random_bool(0.4) && !filed.is_empty() {
                let (filter, gone) = filed.swap_remove(random.random_range(0..filed.len()));
                trie.retain(&filter, |value| *value != gone);
            }
            if number % 4 == 0 {
                let topic = path(&mut random, &["a", "b", "", "c", "$aws"]);
                let mut expected: Vec<u32> = filed
                    .iter()
                    .filter(|(filter, _)| matches(filter, &topic))
                    .map(|(_, value)| *value)
                    .collect();
                expected.sort_unstable();
                assert_eq!(found(&trie, &topic), expected, "{topic}");
            }
        }
        for (filter, gone) in filed {
            trie.retain(&filter, |value| *value != gone);
        }
        assert!(trie.is_empty(), "levels without filters are left behind");
    }
}
