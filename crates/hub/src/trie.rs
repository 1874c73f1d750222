//! Filters to what they lead to: one walk over a topic's levels finds all that match.
use smallvec::SmallVec;
use std::collections::HashMap;
use tidegate_core::filter::Filter;

/// A value may stand under several filters; a filter may lead to several values.
#[derive(Debug)]
pub struct Trie<T> {
    root: Node<T>,
}
#[derive(Debug)]
struct Node<T> {
    levels: HashMap<Box<str>, Node<T>>,
    any: Option<Box<Node<T>>>,
    here: Vec<T>,
    below: Vec<T>,
}
impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}
impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            levels: HashMap::new(),
            any: None,
            here: Vec::new(),
            below: Vec::new(),
        }
    }
}
impl<T: Clone> Trie<T> {
    /// Adds one more value under the filter.
    pub fn insert(&mut self, filter: &Filter, value: T) {
        let mut node = &mut self.root;
        for level in filter.as_str().split('/') {
            node = match level {
                "#" => return node.below.push(value),
                "+" => node.any.get_or_insert_default(),
                level => node.levels.entry(level.into()).or_default(),
            };
        }
        node.here.push(value);
    }
    /// Takes out the values under that very filter that `gone` names, and the nodes that are then empty.
    pub fn remove(&mut self, filter: &Filter, gone: impl Fn(&T) -> bool) {
        self.root.remove(filter.as_str().split('/'), &gone);
    }
    /// All that match, in no order; a value under two matching filters comes twice.
    pub fn find(&self, topic: &str) -> SmallVec<[T; 1]> {
        let mut found = SmallVec::new();
        // A wildcard in front does not see topics that begin with `$`.
        let first_may_be_any = !topic.starts_with('$');
        self.root.find(topic.split('/'), first_may_be_any, &mut found);
        found
    }
}
impl<T: Clone> Node<T> {
    fn remove<'a>(&mut self, mut levels: impl Iterator<Item = &'a str>, gone: &impl Fn(&T) -> bool) {
        match levels.next() {
            None => self.here.retain(|value| !gone(value)),
            Some("#") => self.below.retain(|value| !gone(value)),
            Some("+") => {
                if let Some(any) = &mut self.any {
                    any.remove(levels, gone);
                    if any.is_empty() {
                        self.any = None;
                    }
                }
            }
            Some(level) => {
                if let Some(node) = self.levels.get_mut(level) {
                    node.remove(levels, gone);
                    if node.is_empty() {
                        self.levels.remove(level);
                    }
                }
            }
        }
    }
    fn find<'a>(&self, mut levels: impl Iterator<Item = &'a str> + Clone, may_be_any: bool, found: &mut SmallVec<[T; 1]>) {
        if may_be_any {
            found.extend(self.below.iter().cloned());
        }
        let Some(level) = levels.next() else {
            return found.extend(self.here.iter().cloned());
        };
        if let Some(node) = self.levels.get(level) {
            node.find(levels.clone(), true, found);
        }
        if let (true, Some(any)) = (may_be_any, &self.any) {
            any.find(levels, true, found);
        }
    }
    fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leaves_nothing_behind() {
        let mut trie = Trie::default();
        let filters = ["a/b/c", "a/+/c", "a/#", "#", "+"].map(|text| Filter::new(text).unwrap());
        for (i, filter) in filters.iter().enumerate() {
            trie.insert(filter, i);
        }
        for (i, filter) in filters.iter().enumerate() {
            trie.remove(filter, |value| *value == i);
        }
        assert!(trie.root.is_empty());
    }
    proptest! {
        #[test]
        fn finds_what_the_filters_match(
            filters in prop::collection::vec("(\\$|a|b|\\+)(/(a|b|\\+)){0,3}(/#)?", 1..20),
            topic in "(\\$|a|b)(/(a|b)){0,4}",
        ) {
            let filters: Vec<_> = filters.iter().filter_map(|text| Filter::new(text)).collect();
            let mut trie = Trie::default();
            filters.iter().enumerate().for_each(|(i, filter)| trie.insert(filter, i));
            let mut found = trie.find(&topic);
            found.sort_unstable();
            let wanted: Vec<_> = (0..filters.len()).filter(|i| filters[*i].matches(&topic)).collect();
            prop_assert_eq!(found.into_vec(), wanted);
        }
    }
}
