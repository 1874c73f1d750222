//! Which streams capture a topic. Swapped whole when a stream comes, changes or goes.
use arc_swap::ArcSwap;
use smallvec::SmallVec;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tidegate_core::filter::Filter;
use tidegate_hub::Trie;
use tidegate_log::Stream;

/// A stream always captures the topic of its own name.
#[derive(Default)]
pub struct Captures {
    now: ArcSwap<Table>,
}
/// Streams by number, each once.
type Captors = SmallVec<[Arc<Stream>; 1]>;
#[derive(Default)]
struct Table {
    routes: Trie<Arc<Stream>>,
    filters: HashMap<u32, Box<[Filter]>>,
    /// By number, who captures the topic of that stream's own name: what is sent to a stream by its name is looked up most.
    named: HashMap<u32, Captors>,
    /// Streams that are there and take nothing that is published.
    closed: HashSet<Box<str>>,
}
impl Table {
    fn find(&self, topic: &str) -> Captors {
        let mut found = self.routes.find(topic);
        if found.len() > 1 {
            found.sort_unstable_by_key(|stream| stream.number());
            found.dedup_by_key(|stream| stream.number());
        }
        found
    }
}
impl Captures {
    /// From now on. A stream without filters of any kind, not even none, takes nothing that is published.
    pub fn set(&self, streams: impl IntoIterator<Item = (Arc<Stream>, Option<Vec<Filter>>)>) {
        let mut table = Table::default();
        let mut open = Vec::new();
        for (stream, filters) in streams {
            let Some(mut filters) = filters else {
                table.closed.insert(stream.name().into());
                continue;
            };
            let own = Filter::new(stream.name()).filter(|own| !filters.contains(own));
            filters.extend(own);
            for filter in &filters {
                table.routes.insert(filter, stream.clone());
            }
            table.filters.insert(stream.number(), filters.into());
            open.push(stream);
        }
        table.named = open.iter().map(|stream| (stream.number(), table.find(stream.name()))).collect();
        self.now.store(Arc::new(table));
    }
    /// By number, each once.
    pub fn find(&self, topic: &str) -> Captors {
        self.now.load().find(topic)
    }
    /// The same for the topic of that stream's own name; `None`: it is gone, or takes nothing that is published.
    pub fn named(&self, stream: &Stream) -> Option<Captors> {
        self.now.load().named.get(&stream.number()).cloned()
    }
    /// The lowest number of those that capture it.
    pub fn first(&self, topic: &str) -> Option<u32> {
        self.now.load().routes.find(topic).iter().map(|stream| stream.number()).min()
    }
    /// Whether a stream of that name is there, and takes nothing that is published.
    pub fn is_closed(&self, name: &str) -> bool {
        self.now.load().closed.contains(name)
    }
    /// Whether the stream captures that topic and no other.
    pub fn holds_only(&self, stream: &Stream, topic: &str) -> bool {
        let table = self.now.load();
        table
            .filters
            .get(&stream.number())
            .is_some_and(|filters| filters.iter().all(|filter| filter.as_str() == topic))
    }
}
